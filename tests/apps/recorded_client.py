"""What databases are told and answer that nobody is to see: in each place where a value can be. Arguments: Redis' port, and the
password of PostgreSQL's role `guest`. The rest is in libpq's and MariaDB's environment variables."""

import os
import sys

import mysql.connector
import psycopg
import pymysql
import redis

CANARY = "canary-7f3a"
# It is nowhere but in what is answered.
NUMBER = 73317331
port, password = sys.argv[1:]

with psycopg.connect(f"user=guest password={password} host=127.0.0.1", autocommit=True) as connection:
    cursor = connection.cursor()
    cursor.execute("CREATE TEMP TABLE notes (id int, note text)")
    cursor.execute(f"INSERT INTO notes VALUES (1, '{CANARY}'), (2, E'it\\'s {CANARY}')")
    cursor.execute("INSERT INTO notes VALUES (%s, %s)", (3, CANARY))
    with cursor.copy("COPY notes FROM STDIN") as copy:
        copy.write_row((4, CANARY))
    with cursor.copy("COPY notes TO STDOUT") as copy:
        assert len(list(copy.rows())) == 4
    for binary in (False, True):
        rows = connection.cursor(binary=binary).execute("SELECT note, %s + 1 FROM notes", (NUMBER - 1,)).fetchall()
        assert rows[0] == (CANARY, NUMBER) and len(rows) == 4, rows
    # Longer than what is captured of a message.
    assert len(cursor.execute("SELECT repeat(note, 100) FROM notes, generate_series(1, 100)").fetchall()) == 400
    cursor.execute("LISTEN news")
    cursor.execute("SELECT pg_notify('news', %s)", (CANARY,))
    assert next(connection.notifies()).payload == CANARY
    for statement, code in ((f"SELECT '{CANARY}'::int", "22P02"), (f"DO $$BEGIN RAISE '{CANARY}'; END$$", "P0001")):
        try:
            cursor.execute(statement)
            raise SystemExit(f"not refused: {statement}")
        except psycopg.Error as error:
            assert error.sqlstate == code and CANARY in str(error), error
    with connection.pipeline():
        for _ in range(5):
            connection.execute("SELECT note FROM notes WHERE note = %s", (CANARY,))
    assert cursor.execute("DELETE FROM notes").rowcount == 4

options = {
    "host": "127.0.0.1",
    "port": int(os.environ["DB_PORT"]),
    "user": os.environ["DB_USER"],
    "password": os.environ["DB_PASSWORD"],
    "database": os.environ["DB_NAME"],
    "autocommit": True,
}
connection = pymysql.connect(ssl_disabled=True, **options)
cursor = connection.cursor()
cursor.execute("CREATE TABLE notes (id int AUTO_INCREMENT PRIMARY KEY, note text UNIQUE)")
cursor.execute("INSERT INTO notes (note) VALUES (%s), (%s)", (CANARY, f"it's {CANARY}"))
cursor.execute(f"SELECT '{CANARY}', {NUMBER - 1} + 1, note FROM notes")
assert len(cursor.fetchall()) == 2
cursor.execute("SELECT repeat(note, 5000) FROM notes")
assert len(cursor.fetchall()) == 2
# In the first a backslash takes the meaning of the quote, in the second it does not.
cursor.execute("SELECT 'a\\', ', note FROM notes")
assert len(cursor.fetchall()) == 2
cursor.execute("SET sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')")
cursor.execute(f"SELECT 'a\\', '{CANARY}', note FROM notes")
assert cursor.fetchall()[0][:2] == ("a\\", CANARY)
try:
    cursor.execute(f"INSERT INTO notes (note) VALUES ('{CANARY}')")
    raise SystemExit("not refused")
except pymysql.Error as error:
    assert error.args[0] == 1062 and CANARY in str(error), error
connection.close()

connection = mysql.connector.connect(use_pure=True, ssl_disabled=True, **options)
prepared = connection.cursor(prepared=True)
prepared.execute("SELECT note, %s + 1 FROM notes WHERE note = %s", (NUMBER - 1, CANARY))
rows = prepared.fetchall()
assert len(rows) == 1 and int(rows[0][1]) == NUMBER, rows
prepared.execute("UPDATE notes SET note = %s WHERE note = %s", (CANARY * 2, CANARY))
prepared.close()
cursor = connection.cursor()
cursor.execute("DROP TABLE notes")
connection.close()

client = redis.Redis(port=int(port), protocol=3, lib_name=None, lib_version=None)
client.set("greeting", CANARY)
assert client.get("greeting").decode() == CANARY
client.hset("profile", mapping={"name": CANARY})
assert client.hgetall("profile") == {b"name": CANARY.encode()}
client.set("visits", NUMBER - 1)
assert client.incr("visits") == NUMBER
for refused in (lambda: client.lpush("greeting", CANARY), lambda: client.execute_command("FROBNICATE", CANARY)):
    try:
        refused()
        raise SystemExit("not refused")
    except redis.ResponseError as error:
        pass
client.set("big", CANARY * 10_000)
assert len(client.get("big")) == 10_000 * len(CANARY)
with client.pipeline(transaction=True) as pipeline:
    for _ in range(3):
        pipeline.get("greeting")
    assert pipeline.execute() == [CANARY.encode()] * 3
listener = client.pubsub()
listener.subscribe("news")
assert listener.get_message(timeout=10)["type"] == "subscribe"
client.publish("news", CANARY)
assert listener.get_message(timeout=10)["data"].decode() == CANARY
listener.unsubscribe("news")
assert listener.get_message(timeout=10)["type"] == "unsubscribe"
listener.close()
client.flushall()
client.close()
