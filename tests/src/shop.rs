//! A small application of three programs, for the demo and for the tests of what links them.

use std::process::Command;

use anyhow::Result;

use crate::{
    apps::App,
    nginx::Nginx,
    postgres::Postgres,
    python::{self, Python, Workers},
};

/// nginx in front of node and python; node asks python.
///
/// `GET /api/node/quote/N` goes through all three: nginx, then node (`/quote/N`), then python (`/prices/N`), which
/// may ask PostgreSQL.
#[derive(Debug)]
pub struct Shop {
    pub nginx: Nginx,
    /// Node.
    pub catalog: App,
    /// flask under gunicorn.
    pub orders: Python,
    /// Where python finds its prices.
    pub database: Option<Postgres>,
}

impl Shop {
    /// # Errors
    /// When one of the three does not start.
    pub fn start() -> Result<Self> {
        Self::start_over(None)
    }

    /// The same with a database behind python.
    ///
    /// # Errors
    /// When one of the four does not start.
    pub fn with_database() -> Result<Self> {
        let database = Postgres::start()?;
        let mut psql = database.client("psql", database.socket())?;
        psql.args(["--no-psqlrc", "--quiet", "--command"]);
        python::quietly(psql.arg(
            "CREATE TABLE prices AS SELECT item, 'EUR' AS currency, item * 100 + 99 AS cents \
             FROM generate_series(0, 999) AS item",
        ))?;
        Self::start_over(Some(database))
    }

    fn start_over(database: Option<Postgres>) -> Result<Self> {
        // What libpq reads, as the database has it for every client.
        let mut environment = Command::new("env");
        if let Some(database) = &database {
            database.connect(&mut environment, "127.0.0.1".as_ref());
        }
        let settings: Vec<(&str, &str)> =
            environment.get_envs().filter_map(|(key, value)| key.to_str().zip(value?.to_str())).collect();
        let orders = Python::gunicorn("demo.orders", Workers::Threads(4), &settings)?;
        let prices = format!("http://127.0.0.1:{}", orders.port());
        let catalog = App::node_script("demo/catalog.js", &[("PRICES", &prices)])?;
        let proxy = |prefix: &str, name: &str| {
            format!(
                "location /api/{prefix}/ {{ proxy_pass http://{name}/; proxy_http_version 1.1; proxy_set_header Connection ''; }}\n"
            )
        };
        let upstream =
            |name: &str, port: u16| format!("upstream {name} {{ server 127.0.0.1:{port}; keepalive 8; }}\n");
        let upstreams = upstream("orders", orders.port()) + &upstream("catalog", catalog.port());
        let server = proxy("py", "orders") + &proxy("node", "catalog");
        let nginx = Nginx::with_upstreams(1, &upstreams, &server, &[("index.html", b"<h1>honey</h1>\n")])?;
        Ok(Self { nginx, catalog, orders, database })
    }
}
