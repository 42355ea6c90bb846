"""How every library that speaks to our own S3 is told where it is. Credentials each finds as AWS's own SDKs do."""

from headwater.config import AwsSettings


def s3_options(aws: AwsSettings) -> dict[str, str]:
    """Options by the names that Rust's object_store knows, which delta-rs, obstore and Sail are built on."""
    options: dict[str, str] = {}
    if aws.region:
        options["aws_region"] = aws.region
    if aws.endpoint_url:
        options["aws_endpoint_url"] = aws.endpoint_url
        options["aws_allow_http"] = str(aws.endpoint_url.startswith("http://")).lower()
    return options
