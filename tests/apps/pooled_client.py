"""What a program does that shares PostgreSQL's connections; the connection is in libpq's environment variables."""

import psycopg

CANARY = "canary-7f3a"

# A statement prepared in one transaction may not be there in the next.
with psycopg.connect(autocommit=True, prepare_threshold=None) as connection:
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE drawers (id int PRIMARY KEY, label text)")
    for number in range(20):
        cursor.execute("INSERT INTO drawers VALUES (%s, %s)", (number, CANARY))
    with connection.transaction():
        cursor.execute("UPDATE drawers SET label = %s WHERE id < %s", (CANARY, 5))
        cursor.execute(f"SELECT id FROM drawers WHERE label = '{CANARY}'")
        assert len(cursor.fetchall()) == 20
    with cursor.copy("COPY drawers FROM STDIN") as copy:
        for number in range(20, 23):
            copy.write_row((number, CANARY))
    with cursor.copy("COPY drawers TO STDOUT") as copy:
        assert len(b"".join(copy).splitlines()) == 23
    try:
        cursor.execute("SELECT label FROM absent WHERE id = %s", (1,))
        raise SystemExit("the table is there")
    except psycopg.errors.UndefinedTable:
        pass
    cursor.execute("DELETE FROM drawers")
