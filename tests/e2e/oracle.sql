-- Silver and Gold by docs/rules.md, from the landed versions. Each `<table>_judged` holds every version cleaned, with
-- `_key`, `_cursor`, `_deleted` and `_broken`, the rules that it breaks. Parents come before their children.

CREATE MACRO plain(x) AS nullif(trim(x, ' '), '');
CREATE MACRO code(x) AS upper(plain(x));
CREATE MACRO mail(x) AS lower(plain(x));
CREATE MACRO money(x) AS try_cast(x AS DECIMAL(18, 2));
CREATE MACRO month(x) AS strftime(x, '%Y-%m');
CREATE MACRO required(rule, x) AS CASE WHEN x IS NULL THEN rule || ':required' END;
CREATE MACRO broken(rules) AS coalesce(array_to_string(rules, ' '), '');
-- a version's rules, and those of a deletion
CREATE MACRO judged(deleted, rules, when_deleted) AS CASE WHEN deleted THEN broken(when_deleted) ELSE broken(rules) END;
CREATE MACRO money_type(rule, raw, x) AS CASE WHEN raw IS NOT NULL AND x IS NULL THEN rule || ':type' END;
CREATE MACRO money_required(rule, raw) AS CASE WHEN raw IS NULL THEN rule || ':required' END;

CREATE MACRO instant(x) AS CASE WHEN regexp_full_match(plain(x), '\d{9,10}') THEN make_timestamp(plain(x)::BIGINT * 1000000)
    WHEN regexp_full_match(plain(x), '\d{12,13}') THEN make_timestamp(plain(x)::BIGINT * 1000)
    WHEN regexp_full_match(plain(x),
        '\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-](0\d|1[0-4]):[0-5]\d)?') THEN
    try_cast(regexp_extract(plain(x), '^(.{10})T(.{8}(\.\d+)?)', 1) || ' '
        || regexp_extract(plain(x), '^(.{10})T(.{8}(\.\d+)?)', 2) AS TIMESTAMP)
    - CASE WHEN NOT regexp_matches(plain(x), '[+-]\d\d:\d\d$') THEN INTERVAL 0 MINUTE
        ELSE to_minutes((substr(plain(x), -6, 1) || '1')::INTEGER
            * (substr(plain(x), -5, 2)::INTEGER * 60 + substr(plain(x), -2, 2)::INTEGER)) END
    END;
CREATE MACRO instant_rule(rule, raw) AS CASE WHEN plain(raw) IS NULL THEN rule || ':required'
    WHEN instant(raw) IS NULL THEN rule || ':type' END;

-- The newest accepted version of each key; nothing where that is a deletion.
CREATE MACRO newest(judged) AS TABLE
    SELECT * FROM (
        SELECT * FROM query_table(judged) WHERE _broken = ''
        QUALIFY 1 = row_number() OVER (PARTITION BY _key ORDER BY _cursor DESC, _at DESC, _row_id DESC))
    WHERE NOT _deleted;
-- Two versions of one key with one cursor from one run: only Headwater's hash could tell the newer.
CREATE MACRO undecided(judged) AS TABLE
    SELECT _key::VARCHAR AS key FROM query_table(judged) WHERE _broken = '' AND _row_id IS NULL
    GROUP BY _key, _cursor, _at HAVING count(*) > 1;

-- Silver: parents

CREATE TABLE customers_judged AS
SELECT plain(customer_id) AS customer_id, plain(first_name) AS first_name, plain(last_name) AS last_name,
    mail(email) AS email, plain(phone) AS phone, plain(address) AS address, plain(city) AS city,
    code(country) AS country, plain(segment) AS segment, created_ts, last_modified_ts,
    plain(customer_id) AS _key, last_modified_ts AS _cursor, false AS _deleted, _at, _row_id,
    broken([required('customer_id', plain(customer_id)), required('last_modified_ts', last_modified_ts)]) AS _broken
FROM snowflake_customers;
CREATE TABLE customers AS FROM newest('customers_judged');

CREATE TABLE products_judged AS
SELECT plain(product_id) AS product_id, plain(name) AS name, plain(category) AS category, plain(brand) AS brand,
    money(list_price) AS list_price, code(currency) AS currency, active, last_modified_ts,
    plain(product_id) AS _key, last_modified_ts AS _cursor, false AS _deleted, _at, _row_id,
    broken([required('product_id', plain(product_id)), required('last_modified_ts', last_modified_ts),
        money_type('list_price', snowflake_products.list_price, money(snowflake_products.list_price))]) AS _broken
FROM snowflake_products;
CREATE TABLE products AS FROM newest('products_judged');

-- An account's e-mail is that of its oldest contact that has one, whether or not that contact is accepted.
CREATE TABLE primary_emails AS
WITH contact AS (
    SELECT * FROM salesforce_contacts
    QUALIFY 1 = row_number() OVER (PARTITION BY id ORDER BY system_modstamp DESC, _at DESC, _row_id DESC))
SELECT plain(account_id) AS account_id, mail(email) AS primary_email FROM contact
WHERE NOT coalesce(is_deleted, false) AND plain(account_id) IS NOT NULL AND mail(email) IS NOT NULL
QUALIFY 1 = row_number() OVER (PARTITION BY plain(account_id) ORDER BY created_date ASC NULLS LAST, id);

CREATE TABLE accounts_judged AS
SELECT plain(id) AS account_id, plain(name) AS name, plain(industry) AS industry,
    money(annual_revenue) AS annual_revenue, plain(phone) AS phone, plain(billing_street) AS billing_street,
    plain(billing_city) AS billing_city, plain(billing_country) AS billing_country, primary_email, created_date,
    last_modified_date, system_modstamp,
    plain(id) AS _key, system_modstamp AS _cursor, coalesce(is_deleted, false) AS _deleted, _at, _row_id,
    judged(coalesce(is_deleted, false),
        [required('account_id', plain(id)), required('last_modified_date', last_modified_date),
            required('system_modstamp', system_modstamp),
            money_type('annual_revenue', a.annual_revenue, money(a.annual_revenue))],
        [required('account_id', plain(id)), required('system_modstamp', system_modstamp)]) AS _broken
FROM salesforce_accounts AS a LEFT JOIN primary_emails ON primary_emails.account_id = plain(a.id);
CREATE TABLE accounts AS FROM newest('accounts_judged');

CREATE TABLE fx_rates_judged AS
SELECT date, code(base_currency) AS base_currency, code(quote_currency) AS quote_currency,
    code(base_currency) || '/' || code(quote_currency) AS ccy_pair, rate, as_of_time,
    (date, code(base_currency), code(quote_currency)) AS _key, as_of_time AS _cursor, false AS _deleted, _at, _row_id,
    broken([required('date', date), required('base_currency', code(base_currency)),
        required('quote_currency', code(quote_currency)), required('rate', rate),
        CASE WHEN rate <= 0 THEN 'rate:range' END, required('as_of_time', as_of_time)]) AS _broken
FROM fx_vendor_rates;
CREATE TABLE fx_rates AS FROM newest('fx_rates_judged');

-- Silver: children

CREATE MACRO stranger(rule, id) AS CASE WHEN 'snowflake_customers' NOT IN (FROM absent) AND id IS NOT NULL
    AND id NOT IN (SELECT customer_id FROM customers) THEN rule || ':reference' END;
CREATE MACRO no_product(rule, id) AS CASE WHEN 'snowflake_products' NOT IN (FROM absent) AND id IS NOT NULL
    AND id NOT IN (SELECT product_id FROM products) THEN rule || ':reference' END;
CREATE MACRO no_account(rule, id) AS CASE WHEN 'salesforce_accounts' NOT IN (FROM absent) AND id IS NOT NULL
    AND id NOT IN (SELECT account_id FROM accounts) THEN rule || ':reference' END;

CREATE TABLE orders_judged AS
SELECT plain(order_id) AS order_id, plain(customer_id) AS customer_id, plain(product_id) AS product_id, order_date,
    quantity, money(amount) AS amount, code(currency) AS currency, plain(status) AS status, last_modified_ts,
    plain(order_id) AS _key, last_modified_ts AS _cursor, false AS _deleted, _at, _row_id,
    broken([required('order_id', plain(order_id)),
        required('customer_id', plain(customer_id)), stranger('customer_id', plain(customer_id)),
        required('product_id', plain(product_id)), no_product('product_id', plain(product_id)),
        required('order_date', order_date), required('quantity', quantity),
        CASE WHEN quantity < 0 THEN 'quantity:range' END,
        money_required('amount', o.amount), money_type('amount', o.amount, money(o.amount)),
        required('currency', code(currency)), required('last_modified_ts', last_modified_ts)]) AS _broken
FROM snowflake_orders AS o;

-- A leg is what one unit of the base is worth in a currency, on a date.
CREATE TABLE legs AS
SELECT date, base_currency AS base, quote_currency AS currency, (rate * 10000000000)::HUGEINT AS leg
FROM fx_rates WHERE base_currency <> quote_currency
UNION ALL
SELECT DISTINCT date, base_currency, base_currency, 10000000000::HUGEINT
FROM fx_rates WHERE base_currency <> quote_currency;

-- The legs of each date and currency that have both; the first base in alphabetical order.
CREATE TABLE usable AS
SELECT own.date, own.currency, usd.leg AS usd_leg, own.leg AS own_leg
FROM legs AS own JOIN legs AS usd ON usd.date = own.date AND usd.base = own.base AND usd.currency = 'USD'
QUALIFY 1 = row_number() OVER (PARTITION BY own.date, own.currency ORDER BY own.base);

CREATE TABLE unpriced_orders AS FROM newest('orders_judged');
CREATE TABLE prices AS
SELECT day, needed.currency, usd_leg, own_leg
FROM (SELECT DISTINCT order_date::DATE AS day, currency FROM unpriced_orders) AS needed
JOIN usable ON usable.currency = needed.currency AND usable.date <= day AND usable.date >= day - 7
QUALIFY 1 = row_number() OVER (PARTITION BY day, needed.currency ORDER BY usable.date DESC);

CREATE MACRO cents(x) AS (x * 100)::HUGEINT;
-- numerator / denominator, rounded once, half away from zero
CREATE MACRO half_away(numerator, denominator) AS
    sign(numerator) * ((2 * abs(numerator) + denominator) // (2 * denominator));

CREATE TABLE orders AS
WITH priced AS (
    SELECT o.*, CASE WHEN o.currency = 'USD' THEN cents(amount)
        ELSE half_away(cents(amount) * usd_leg, own_leg) END AS usd_cents
    FROM unpriced_orders AS o LEFT JOIN prices ON prices.day = o.order_date::DATE AND prices.currency = o.currency)
SELECT order_id, customer_id, product_id, order_date, quantity, amount, currency, status,
    CASE WHEN currency = 'USD' THEN amount
        WHEN abs(usd_cents) < 900000000000000000 THEN (usd_cents::DECIMAL(38, 0) * 0.01)::DECIMAL(18, 2)
        END AS amount_usd,
    last_modified_ts, month(order_date) AS order_month
FROM priced;

CREATE MACRO session_text(x) AS regexp_extract(plain(x), '^S(\d{14})-[0-9A-Fa-f]+$', 1);
CREATE MACRO digits(x, place, many) AS substr(session_text(x), place, many);
CREATE MACRO session_start(x) AS CASE
    WHEN regexp_full_match(session_text(x), '\d{8}([01]\d|2[0-3])[0-5]\d[0-5]\d') AND digits(x, 1, 4) <> '0000' THEN
    try_cast(digits(x, 1, 4) || '-' || digits(x, 5, 2) || '-' || digits(x, 7, 2) || ' '
        || digits(x, 9, 2) || ':' || digits(x, 11, 2) || ':' || digits(x, 13, 2) AS TIMESTAMP) END;
CREATE MACRO place_part(geo, part) AS
    nullif(upper(regexp_extract(plain(geo), '^([A-Za-z]{2})(-([A-Za-z0-9]{1,3}))?$', part)), '');
-- Three notations of a position; the first number of each is group 1, the second group 3.
CREATE MACRO told_degrees(geo, form, part) AS ltrim(nullif(regexp_extract(plain(geo), form, part), ''), '+')::DOUBLE;
CREATE MACRO degrees(geo, part) AS CASE
    WHEN plain(geo) LIKE '%/'
        THEN told_degrees(geo, '^([+-]\d{2}(\.\d+)?)([+-]\d{3}(\.\d+)?)([+-]\d+(\.\d+)?)?/$', part)
    WHEN starts_with(lower(plain(geo)), 'geo:')
        THEN told_degrees(substr(plain(geo), 5),
            '^(-?\d{1,3}(\.\d+)?),(-?\d{1,3}(\.\d+)?)(,-?\d+(\.\d+)?)?(;u=\d+(\.\d+)?)?$', part)
    ELSE told_degrees(geo, '^([+-]?\d{1,3}(\.\d+)?) *, *([+-]?\d{1,3}(\.\d+)?)$', part) END;
CREATE MACRO coordinate(geo, part) AS
    CASE WHEN abs(degrees(geo, 1)) <= 90 AND abs(degrees(geo, 3)) <= 180 THEN degrees(geo, part) END;

CREATE TABLE behavior_judged AS
SELECT plain(event_id) AS event_id, plain(customer_id) AS customer_id, plain(event_name) AS event_name, event_ts,
    plain(session_id) AS session_id, session_start(session_id) AS session_start_ts, plain(device) AS device,
    plain(geo) AS geo, place_part(geo, 1) AS geo_country, place_part(geo, 3) AS geo_region,
    coordinate(geo, 1) AS geo_latitude, coordinate(geo, 3) AS geo_longitude,
    list_filter([plain(url_1), plain(url_2), plain(url_3), plain(url_4), plain(url_5), plain(url_6), plain(url_7),
        plain(url_8), plain(url_9), plain(url_10), plain(url_11), plain(url_12)], lambda url: url IS NOT NULL) AS urls,
    metadata,
    month(event_ts) AS event_month,
    plain(event_id) AS _key, event_ts AS _cursor, false AS _deleted, _at, _row_id,
    broken([required('event_id', plain(event_id)), stranger('customer_id', plain(customer_id)),
        required('event_name', plain(event_name)), required('event_ts', event_ts)]) AS _broken
FROM redshift_behavior;
CREATE TABLE behavior AS FROM newest('behavior_judged');

CREATE TABLE contacts_judged AS
SELECT plain(id) AS contact_id, plain(account_id) AS account_id, plain(first_name) AS first_name,
    plain(last_name) AS last_name, mail(email) AS email, plain(phone) AS phone, plain(title) AS title, created_date,
    last_modified_date, system_modstamp,
    plain(id) AS _key, system_modstamp AS _cursor, coalesce(is_deleted, false) AS _deleted, _at, _row_id,
    judged(coalesce(is_deleted, false),
        [required('contact_id', plain(id)), no_account('account_id', plain(account_id)),
            required('last_modified_date', last_modified_date), required('system_modstamp', system_modstamp)],
        [required('contact_id', plain(id)), required('system_modstamp', system_modstamp)]) AS _broken
FROM salesforce_contacts;
CREATE TABLE contacts AS FROM newest('contacts_judged');

CREATE TABLE opportunities_judged AS
SELECT plain(id) AS opportunity_id, plain(account_id) AS account_id, plain(name) AS name, plain(stage_name) AS stage,
    money(amount) AS amount, close_date, probability, created_date, last_modified_date, system_modstamp,
    plain(id) AS _key, system_modstamp AS _cursor, coalesce(is_deleted, false) AS _deleted, _at, _row_id,
    judged(coalesce(is_deleted, false),
        [required('opportunity_id', plain(id)), no_account('account_id', plain(account_id)),
            money_type('amount', o.amount, money(o.amount)),
            CASE WHEN probability NOT BETWEEN 0 AND 100 THEN 'probability:range' END,
            required('last_modified_date', last_modified_date), required('system_modstamp', system_modstamp)],
        [required('opportunity_id', plain(id)), required('system_modstamp', system_modstamp)]) AS _broken
FROM salesforce_opportunities AS o;
CREATE TABLE opportunities AS FROM newest('opportunities_judged');

CREATE TABLE order_events_judged AS
SELECT plain(order_id) AS order_id, code(event_type) AS event_type, instant(event_timestamp) AS event_timestamp,
    plain(customer_id) AS customer_id, metadata, month(instant(k.event_timestamp)) AS event_month,
    (plain(order_id), code(event_type), instant(k.event_timestamp)) AS _key, instant(k.event_timestamp) AS _cursor,
    false AS _deleted, _at, _row_id,
    broken([required('order_id', plain(order_id)), required('event_type', code(k.event_type)),
        CASE WHEN code(k.event_type) NOT IN ('PLACED', 'PAID', 'SHIPPED', 'CANCELLED') THEN 'event_type:allowed' END,
        instant_rule('event_timestamp', k.event_timestamp)]) AS _broken
FROM kafka_orders_events AS k;
CREATE TABLE order_events AS FROM newest('order_events_judged');

CREATE TABLE user_events_judged AS
SELECT plain(event_id) AS event_id, plain(customer_id) AS customer_id, plain(session_id) AS session_id,
    plain(event_type) AS event_type, instant(event_timestamp) AS event_timestamp, plain(page_url) AS page_url,
    metadata, month(instant(k.event_timestamp)) AS event_month,
    plain(event_id) AS _key, instant(k.event_timestamp) AS _cursor, false AS _deleted, _at, _row_id,
    broken([required('event_id', plain(event_id)), required('event_type', plain(k.event_type)),
        instant_rule('event_timestamp', k.event_timestamp)]) AS _broken
FROM kafka_user_events AS k;
CREATE TABLE user_events AS FROM newest('user_events_judged');

CREATE TABLE inventory_judged AS
WITH told AS (
    SELECT product_id, warehouse_id, 'erp' AS origin, file_date::TIMESTAMP AS stock_ts, quantity, reorder_point,
        CASE WHEN file_date IS NULL THEN 'stock_ts:required' END AS stock_ts_rule, _at, _row_id
    FROM external_inventory
    UNION ALL
    SELECT product_id, warehouse_id, 'event', instant(event_timestamp), quantity, NULL,
        instant_rule('stock_ts', event_timestamp), _at, _row_id
    FROM kafka_inventory_updates)
SELECT plain(product_id) AS product_id, plain(warehouse_id) AS warehouse_id, origin, stock_ts, quantity, reorder_point,
    (plain(product_id), plain(warehouse_id), origin, stock_ts) AS _key, stock_ts AS _cursor, false AS _deleted,
    _at, _row_id,
    broken([required('product_id', plain(product_id)), required('warehouse_id', plain(warehouse_id)), stock_ts_rule,
        required('quantity', quantity), CASE WHEN quantity < 0 THEN 'quantity:range' END]) AS _broken
FROM told;
CREATE TABLE inventory AS FROM newest('inventory_judged');

CREATE TABLE undecided_keys AS
FROM undecided('customers_judged') UNION ALL FROM undecided('products_judged') UNION ALL
FROM undecided('accounts_judged') UNION ALL FROM undecided('fx_rates_judged') UNION ALL
FROM undecided('orders_judged') UNION ALL FROM undecided('behavior_judged') UNION ALL
FROM undecided('contacts_judged') UNION ALL FROM undecided('opportunities_judged');
SELECT error('two versions from one run with one cursor: ' || key) FROM undecided_keys;

-- Gold

CREATE TABLE customer_accounts AS
SELECT customer_id, account_id, industry, annual_revenue, billing_city
FROM customers JOIN accounts ON accounts.primary_email = customers.email
QUALIFY 1 = row_number() OVER (PARTITION BY customer_id ORDER BY accounts.last_modified_date DESC, account_id);

CREATE TABLE customer_360 AS
WITH ordered AS (
    SELECT customer_id, count(*) AS total_orders, sum(amount_usd)::DECIMAL(28, 2) AS total_revenue,
        max(order_date) AS last_order_date
    FROM orders GROUP BY customer_id),
behaved AS (
    SELECT customer_id, count(*) AS total_events, count(DISTINCT session_id) AS total_sessions,
        max(event_ts) AS last_activity_date
    FROM behavior WHERE customer_id IS NOT NULL GROUP BY customer_id)
SELECT c.customer_id AS customer_key, c.customer_id, c.email, c.country, industry, annual_revenue, billing_city,
    total_orders, total_revenue, last_order_date, total_events, total_sessions, last_activity_date
FROM customers AS c LEFT JOIN customer_accounts USING (customer_id) LEFT JOIN ordered USING (customer_id)
LEFT JOIN behaved USING (customer_id);

CREATE MACRO earned(x) AS coalesce(sum(x), 0)::DECIMAL(28, 2);
CREATE MACRO net(status, x) AS
    CASE WHEN coalesce(upper(status), '') NOT IN ('CANCELLED', 'REFUNDED', 'RETURNED') THEN x END;

-- Each product and warehouse at each instant; at a tie the event.
CREATE TABLE stock AS
SELECT product_id, warehouse_id, stock_ts, quantity FROM inventory
QUALIFY 1 = row_number() OVER (PARTITION BY product_id, warehouse_id, stock_ts ORDER BY origin = 'event' DESC);

CREATE TABLE stock_on_hand AS
WITH asked AS (
    SELECT day, product_id, warehouse_id, day + INTERVAL 1 DAY AS day_end
    FROM (SELECT DISTINCT order_date::DATE AS day, product_id FROM orders)
    JOIN (SELECT DISTINCT product_id, warehouse_id FROM stock) USING (product_id))
SELECT asked.day, asked.product_id, sum(stock.quantity)::BIGINT AS stock_on_hand
FROM asked ASOF JOIN stock ON stock.product_id = asked.product_id AND stock.warehouse_id = asked.warehouse_id
    AND asked.day_end > stock.stock_ts
GROUP BY asked.day, asked.product_id;

CREATE TABLE product_perf_daily AS
WITH sold AS (
    SELECT order_date::DATE AS day, product_id, count(*) AS orders, sum(quantity)::BIGINT AS units,
        count(DISTINCT customer_id) AS customers, earned(amount_usd) AS revenue_usd,
        earned(net(status, amount_usd)) AS net_revenue_usd,
        count(*) FILTER (upper(status) = 'CANCELLED') AS cancelled_orders,
        sum(quantity) FILTER (amount_usd IS NOT NULL) AS priced_units
    FROM orders GROUP BY order_date::DATE, product_id)
SELECT sold.day AS order_date, sold.product_id, products.name, products.category, orders, units, customers,
    revenue_usd, net_revenue_usd, cancelled_orders,
    CASE WHEN priced_units > 0 THEN
        (half_away(cents(revenue_usd), priced_units::HUGEINT)::DECIMAL(38, 0) * 0.01)::DECIMAL(18, 2)
        END AS average_price_usd,
    stock_on_hand.stock_on_hand
FROM sold LEFT JOIN products USING (product_id)
LEFT JOIN stock_on_hand ON stock_on_hand.day = sold.day AND stock_on_hand.product_id = sold.product_id;

CREATE TABLE revenue_by_geography AS
SELECT order_date::DATE AS order_date, coalesce(customers.country, 'Unknown') AS country, count(*) AS orders,
    sum(quantity)::BIGINT AS units, count(DISTINCT o.customer_id) AS customers, earned(amount_usd) AS revenue_usd,
    earned(net(status, amount_usd)) AS net_revenue_usd
FROM orders AS o LEFT JOIN customers USING (customer_id)
GROUP BY o.order_date::DATE, coalesce(customers.country, 'Unknown');

CREATE TABLE revenue_by_industry AS
WITH sold AS (
    SELECT order_month AS month, coalesce(industry, 'Unknown') AS industry, count(*) AS orders,
        sum(quantity)::BIGINT AS units, count(DISTINCT o.customer_id) AS customers, earned(amount_usd) AS revenue_usd,
        earned(net(status, amount_usd)) AS net_revenue_usd
    FROM orders AS o LEFT JOIN customer_accounts USING (customer_id)
    GROUP BY order_month, coalesce(industry, 'Unknown')),
open AS (
    SELECT strftime(close_date, '%Y-%m') AS month, coalesce(industry, 'Unknown') AS industry,
        earned(amount) AS open_pipeline
    FROM opportunities LEFT JOIN accounts USING (account_id)
    WHERE close_date IS NOT NULL AND coalesce(stage, '') NOT IN ('Closed Won', 'Closed Lost')
    GROUP BY strftime(close_date, '%Y-%m'), coalesce(industry, 'Unknown'))
SELECT month, industry, coalesce(orders, 0) AS orders, coalesce(units, 0) AS units, coalesce(customers, 0) AS customers,
    coalesce(revenue_usd, 0)::DECIMAL(28, 2) AS revenue_usd, coalesce(net_revenue_usd, 0)::DECIMAL(28, 2) AS net_revenue_usd,
    coalesce(open_pipeline, 0)::DECIMAL(28, 2) AS open_pipeline
FROM sold FULL JOIN open USING (month, industry);
