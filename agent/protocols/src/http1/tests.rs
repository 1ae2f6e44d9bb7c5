mod cases;
mod corpus;

use super::{Connection, Counters, HttpEvent, Limits};
use crate::{exchange::Event, wire::Told};

type Wire = crate::wire::Wire<Connection>;

impl Told for Connection {
    fn opened() -> Self {
        Self::opened(Limits::default())
    }

    fn joined() -> Self {
        Self::new(Limits::default())
    }

    fn summary(event: &HttpEvent) -> Option<String> {
        summary(event)
    }

    fn failures(&self) -> u32 {
        self.counters().failures
    }

    fn complaint(&self) -> Option<String> {
        let counters = self.counters();
        (counters != Counters::default()).then(|| format!("{counters:?}"))
    }
}

/// `method target request-body -> status response-body outcome request-wire/response-wire`
pub(super) fn summary(event: &HttpEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let detail = &exchange.detail;
    let size = |size: Option<u64>| size.map_or("?".to_owned(), |size| size.to_string());
    Some(format!(
        "{} {} {} -> {} {} {:?} {}/{}{}",
        detail.request.method,
        detail.request.target,
        size(detail.request_body),
        detail.response.map_or("-".to_owned(), |response| response.status.to_string()),
        size(detail.response_body),
        exchange.outcome,
        exchange.request.wire_bytes,
        exchange.response.map_or(0, |response| response.wire_bytes),
        if exchange.damaged { " damaged" } else { "" },
    ))
}
