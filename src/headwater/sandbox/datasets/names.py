"""The words that invented people, companies and goods are made of."""

# fmt: off
FIRST_NAMES = (
    "Anna", "Ben", "Chloé", "Dmitri", "Élodie", "Farid", "Grace", "Håkon", "Ines", "José", "Kavita", "Łukasz",
    "Mei", "Ngọc", "Olivia", "Priya", "Quentin", "Renée", "Søren", "Tomás", "Ursula", "Víctor", "Wanda",
    "Xavier", "Yusuf", "Zoë", "Amara", "Björn", "Cécile", "Dario", "Emma", "Fatima", "George", "Hanna", "Ivan",
    "Jürgen", "Kwame", "Leila", "Marta", "Noah", "Ούλα", "Pedro", "美咲", "Rahul", "Siobhán", "Tariq",
)
FIRST_SLUGS = (
    "anna", "ben", "chloe", "dmitri", "elodie", "farid", "grace", "hakon", "ines", "jose", "kavita", "lukasz",
    "mei", "ngoc", "olivia", "priya", "quentin", "renee", "soren", "tomas", "ursula", "victor", "wanda",
    "xavier", "yusuf", "zoe", "amara", "bjorn", "cecile", "dario", "emma", "fatima", "george", "hanna", "ivan",
    "jurgen", "kwame", "leila", "marta", "noah", "oula", "pedro", "misaki", "rahul", "siobhan", "tariq",
)
LAST_NAMES = (
    "Adams", "Brown", "Çelik", "Dvořák", "Evans", "Fernández", "García Márquez", "Huber", "Ivanov",
    "Johansson", "Kowalski", "Lefèvre", "Müller", "Nguyễn", "O'Brien", "Patel", "Quinn", "Rossi", "Šimůnek",
    "Tanaka", "Underwood", "Vega", "Wójcik", "Xu", "Öztürk", "Zimmermann", "da Silva", "van den Berg", "李",
    "Smith-Jones", "Dubois", "Ferrari", "Nielsen", "Okafor", "Singh",
)
LAST_SLUGS = (
    "adams", "brown", "celik", "dvorak", "evans", "fernandez", "garcia", "huber", "ivanov", "johansson",
    "kowalski", "lefevre", "muller", "nguyen", "obrien", "patel", "quinn", "rossi", "simunek", "tanaka",
    "underwood", "vega", "wojcik", "xu", "ozturk", "zimmermann", "dasilva", "vandenberg", "li", "smithjones",
    "dubois", "ferrari", "nielsen", "okafor", "singh",
)
# fmt: on
DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "post.example")
STREETS = ("High Street", "Hauptstraße", "Rue de l'Église", "Calle Mayor", "Ulica Długa", "Main St", "Storgatan")
JOB_TITLES = ("Buyer", "Chief Executive", "Head of Purchasing", "Clerk", "Directrice générale", "Accountant")

# country, weight, currency, city, units of the currency per US dollar (a price level, not a rate)
COUNTRIES = (
    ("US", 26, "USD", "Portland", 1.0),
    ("DE", 14, "EUR", "München", 0.92),
    ("GB", 10, "GBP", "Leeds", 0.79),
    ("FR", 8, "EUR", "Orléans", 0.92),
    ("JP", 6, "JPY", "大阪", 150.0),
    ("CA", 5, "CAD", "Montréal", 1.36),
    ("ES", 5, "EUR", "Málaga", 0.92),
    ("PL", 5, "PLN", "Kraków", 4.0),
    ("SE", 4, "SEK", "Malmö", 10.5),
    ("CH", 4, "CHF", "Zürich", 0.88),
    ("AU", 4, "AUD", "Perth", 1.52),
    ("BR", 4, "BRL", "São Paulo", 5.4),
    ("IN", 3, "INR", "Pune", 83.0),
    ("ID", 2, "IDR", "Bandung", 15_700.0),
)

INDUSTRIES = (
    "Retail",
    "Manufacturing",
    "Technology",
    "Health Care",
    "Education",
    "Energy",
    "Food & Beverage",
    "Banking",
)
COMPANY_FORMS = ("GmbH", "Ltd", "S.A.", "Inc.", "AB", "株式会社", "Sp. z o.o.")

CATEGORIES = ("Kitchen", "Garden", "Office", "Toys", "Sport", "Books", "Électronique", "Beauty", "Outdoor", "Pets")
BRANDS = ("Acme", "Blümchen", "Corvo", "Delta & Söhne", "Ember", "Fjäll", "Gamma", "Hoshi 星")
THINGS = (
    "Lamp",
    "Chair",
    "Kettle",
    "Notebook",
    "Ball",
    "Tent",
    "Brush",
    "Café Press",
    "Backpack",
    'Monitor 27"',
    "Bowl, blue",
)

WAREHOUSES = ("WH-01", "WH-02", "WH-03", "WH-04, North", "WH-05 Łódź")
