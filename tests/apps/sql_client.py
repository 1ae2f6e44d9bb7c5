"""What a psycopg 3 program does with PostgreSQL; the connection is in libpq's environment variables."""

import psycopg

CANARY = "canary-7f3a"

with psycopg.connect() as connection:
    cursor = connection.cursor()
    # A transaction: BEGIN, 3 statements, COMMIT.
    cursor.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    cursor.execute("INSERT INTO orders VALUES (1, %s)", (CANARY,))
    cursor.execute(f"UPDATE orders SET note = '{CANARY}' WHERE id = 1")
    connection.commit()

    connection.autocommit = True
    for number in range(10):
        cursor.execute("SELECT note FROM orders WHERE id = %s", (number,), prepare=True)

    # Bound by position, in one pipeline.
    with connection.pipeline():
        for number in range(5):
            connection.execute("SELECT id FROM orders WHERE note = %s", (CANARY,))

    with cursor.copy("COPY orders FROM STDIN") as copy:
        for number in range(2, 5):
            copy.write_row((number, CANARY))

    try:
        cursor.execute("SELECT price FROM absent WHERE note = %s", (CANARY,))
        raise SystemExit("the table is there")
    except psycopg.errors.UndefinedTable:
        pass

    cursor.execute("DELETE FROM orders")
