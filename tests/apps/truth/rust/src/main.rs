//! Ground truth on tokio's threads: axum and reqwest. See tests/src/truth. Takes a port.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};

#[derive(Clone)]
struct Upstream {
    client: reqwest::Client,
    base: String,
}

impl Upstream {
    async fn call(&self, id: u64, number: u32) -> Result<(), StatusCode> {
        let answer = self.client.get(format!("{}/up/{id}/{number}", self.base)).send().await;
        let answer = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;
        answer.bytes().await.map(|_| ()).map_err(|_| StatusCode::BAD_GATEWAY)
    }
}

/// Up to 5 ms. Every `RandomState` has keys of its own.
async fn pause() {
    tokio::time::sleep(Duration::from_micros(RandomState::new().hash_one(0) % 5000)).await;
}

async fn seq(State(upstream): State<Upstream>, Path(id): Path<u64>) -> Result<&'static str, StatusCode> {
    upstream.call(id, 1).await?;
    upstream.call(id, 2).await?;
    Ok("ok")
}

async fn pauses(State(upstream): State<Upstream>, Path(id): Path<u64>) -> Result<&'static str, StatusCode> {
    pause().await;
    upstream.call(id, 1).await?;
    pause().await;
    upstream.call(id, 2).await?;
    pause().await;
    Ok("ok")
}

async fn fan(State(upstream): State<Upstream>, Path(id): Path<u64>) -> Result<&'static str, StatusCode> {
    let other = upstream.clone();
    let spawned = tokio::spawn(async move { other.call(id, 1).await });
    upstream.call(id, 2).await?;
    spawned.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)??;
    upstream.call(id, 3).await?;
    Ok("ok")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = env::args().nth(1).ok_or("which port?")?.parse()?;
    let upstream = Upstream { client: reqwest::Client::new(), base: env::var("UPSTREAM")? };
    let app = Router::new()
        .route("/seq/{id}", get(seq))
        .route("/pause/{id}", get(pauses))
        .route("/fan/{id}", get(fan))
        .with_state(upstream);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}
