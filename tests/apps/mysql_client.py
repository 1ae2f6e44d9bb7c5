"""What a PyMySQL program does with MariaDB. `tls` as an argument asks for TLS."""

import os
import ssl
import sys
import tempfile

import pymysql
from pymysql.constants import CLIENT

CANARY = "canary-7f3a"

context = None
if "tls" in sys.argv:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

connection = pymysql.connect(
    host="127.0.0.1",
    port=int(os.environ["DB_PORT"]),
    user=os.environ["DB_USER"],
    password=os.environ["DB_PASSWORD"],
    database=os.environ["DB_NAME"],
    ssl=context,
    ssl_disabled=context is None,
    autocommit=True,
    local_infile=True,
    client_flag=CLIENT.MULTI_STATEMENTS,
)
cursor = connection.cursor()


def refused(code, statement):
    try:
        cursor.execute(statement)
    except pymysql.Error as error:
        assert error.args[0] == code, error
        return
    raise SystemExit(f"not refused: {statement}")


cursor.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
cursor.execute("INSERT INTO items VALUES (1, %s), (2, %s)", (CANARY, f"it's {CANARY}"))
cursor.executemany("INSERT INTO items VALUES (%s, %s)", [(number, CANARY) for number in range(3, 10)])
cursor.execute("SELECT * FROM items WHERE name = %s", (CANARY,))
assert len(cursor.fetchall()) == 8

cursor.execute(f"SELECT name FROM items WHERE id = 1; UPDATE items SET name = \"{CANARY}\" WHERE id > 5; SELECT 1, 2")
while cursor.nextset():
    pass

refused(1062, f"INSERT INTO items VALUES (1, '{CANARY}')")
refused(1064, f"SELEC '{CANARY}'")
refused(1146, f"SELECT price FROM absent WHERE name = '{CANARY}'")

connection.ping()

with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rows:
    rows.writelines(f"{number}\t{CANARY}\n" for number in range(10, 15))
    rows.flush()
    cursor.execute(f"LOAD DATA LOCAL INFILE '{rows.name}' INTO TABLE items")
assert cursor.rowcount == 5

# More than is captured of a burst: 14 rows of 10,000 bytes.
cursor.execute("SELECT repeat('x', 10000) FROM items")
assert len(cursor.fetchall()) == 14

cursor.execute("DELETE FROM items")
connection.close()
