"""Prepared statements by mysql-connector-python; with `compress` as an argument in the compressed protocol."""

import os
import sys

import mysql.connector

CANARY = "canary-7f3a"

connection = mysql.connector.connect(
    host="127.0.0.1",
    port=int(os.environ["DB_PORT"]),
    user=os.environ["DB_USER"],
    password=os.environ["DB_PASSWORD"],
    database=os.environ["DB_NAME"],
    use_pure=True,
    ssl_disabled=True,
    autocommit=True,
    compress="compress" in sys.argv,
)
cursor = connection.cursor()
cursor.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
# Longer than what is sent as it is.
cursor.execute(f"INSERT INTO notes VALUES (1, '{CANARY * 20}'), (2, '{CANARY}')")

prepared = connection.cursor(prepared=True)
for number in range(3):
    prepared.execute("SELECT id, note FROM notes WHERE id = %s", (number,))
    assert len(prepared.fetchall()) == (0 if number == 0 else 1)
prepared.execute("UPDATE notes SET note = %s WHERE id = %s", (CANARY, 1))
try:
    prepared.execute("SELECT price FROM absent WHERE note = %s", (CANARY,))
    raise SystemExit("the table is there")
except mysql.connector.Error as error:
    assert error.errno == 1146, error
prepared.close()

cursor.execute("SELECT repeat('x', 100), id FROM notes")
assert len(cursor.fetchall()) == 2
cursor.execute("DROP TABLE notes")
connection.close()
