"""What a psycopg2 program does with PostgreSQL; the connection is in libpq's environment variables."""

import io
import threading

import psycopg2

CANARY = "canary-7f3a"

connection = psycopg2.connect("")
cursor = connection.cursor()
# A transaction; values are put into the text by the client.
cursor.execute("CREATE TABLE notes (id int, note text)")
cursor.execute("INSERT INTO notes VALUES (%s, %s)", (1, CANARY))
cursor.execute("INSERT INTO notes VALUES (%s, %s)", (2, f"it\\'s {CANARY}"))
connection.commit()

with connection.cursor("reader") as reader:
    reader.itersize = 1
    reader.execute("SELECT note FROM notes WHERE id > %s", (0,))
    assert len(list(reader)) == 2
connection.rollback()

connection.autocommit = True
cursor.copy_expert("COPY notes FROM STDIN", io.StringIO(f"3\t{CANARY}\n4\t{CANARY}\n5\t{CANARY}\n"))
cursor.copy_expert("COPY notes TO STDOUT", io.StringIO())
cursor.execute(f"DO $$ BEGIN RAISE NOTICE '{CANARY}'; END $$")
assert CANARY in connection.notices[0]

try:
    cursor.execute("SELECT price FROM absent WHERE note = %s", (CANARY,))
    raise SystemExit("the table is there")
except psycopg2.errors.UndefinedTable:
    pass

threading.Timer(0.5, connection.cancel).start()
try:
    cursor.execute("SELECT pg_sleep(60)")
    raise SystemExit("it was not cancelled")
except psycopg2.errors.QueryCanceled:
    pass

# A backslash escapes only where a session asks for it.
cursor.execute("SET standard_conforming_strings = off")
cursor.execute(f"SELECT 'it\\'s {CANARY}' AS note, 'a' AS b")
cursor.execute("DELETE FROM notes")
connection.close()
