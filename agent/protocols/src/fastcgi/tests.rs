mod cases;
mod corpus;

use super::{Connection, Counters, FastCgiEvent, Limits};
use crate::{exchange::Event, wire::Told};

type Wire = crate::wire::Wire<Connection>;

impl Told for Connection {
    fn opened() -> Self {
        Self::opened(Limits::default())
    }

    fn joined() -> Self {
        Self::new(Limits::default())
    }

    fn summary(event: &FastCgiEvent) -> Option<String> {
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

/// `method target authority version -> status outcome request-body+wire/response-body+wire`
pub(super) fn summary(event: &FastCgiEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let (detail, head) = (&exchange.detail, &exchange.detail.request);
    let size = |size: Option<u64>| size.map_or("-".to_owned(), |size| size.to_string());
    Some(format!(
        "{} {} {} {:?} -> {}{:?} {}+{}/{}+{}{}{}",
        head.method,
        head.target,
        head.authority.as_deref().unwrap_or("-"),
        head.version,
        detail.response.map_or(String::new(), |response| format!("{} ", response.status)),
        exchange.outcome,
        size(detail.request_body),
        exchange.request.wire_bytes,
        size(detail.response_body),
        exchange.response.map_or(0, |response| response.wire_bytes),
        if head.truncated { " truncated" } else { "" },
        if exchange.damaged { " damaged" } else { "" },
    ))
}
