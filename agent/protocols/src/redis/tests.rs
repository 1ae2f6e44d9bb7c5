mod cases;
mod corpus;

use super::{Connection, Counters, Limits, RedisEvent};
use crate::{exchange::Event, keyvalue::Waits, wire::Told};

type Wire = crate::wire::Wire<Connection>;

impl Told for Connection {
    fn opened() -> Self {
        Self::opened(Limits::default())
    }

    fn joined() -> Self {
        Self::new(Limits::default())
    }

    fn summary(event: &RedisEvent) -> Option<String> {
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

/// `operation text database -> … outcome request-wire/response-wire`
pub(super) fn summary(event: &RedisEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let (detail, head) = (&exchange.detail, &exchange.detail.request);
    let text = head.text.as_ref().map_or("-".to_owned(), |text| format!("`{text}`"));
    let failure = detail.failure.as_ref().map(|failure| failure.code.as_deref().unwrap_or("-----"));
    Some(format!(
        "{} {text} {} -> {}{}{}{}{:?} {}/{}{}",
        head.operation,
        detail.database.map_or("-".to_owned(), |number| number.to_string()),
        if detail.waits == Waits::Answer { String::new() } else { format!("waits {:?} ", detail.waits) },
        detail.batch_size.map_or(String::new(), |size| format!("batch {size} ")),
        failure.map_or(String::new(), |code| format!("{code} ")),
        detail.transaction.map_or(String::new(), |unrun| format!("{unrun:?} ")),
        exchange.outcome,
        exchange.request.wire_bytes,
        exchange.response.map_or(0, |response| response.wire_bytes),
        if exchange.damaged { " damaged" } else { "" },
    ))
}
