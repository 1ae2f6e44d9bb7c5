mod cases;
mod corpus;

use super::{Connection, Counters, Limits, Notes, SqlEvent};
use crate::{
    exchange::Event,
    sql::{Prepared, System},
    wire::Told,
};

type Wire = crate::wire::Wire<Connection>;

impl Told for Connection {
    fn opened() -> Self {
        Self::opened(Limits::default())
    }

    fn joined() -> Self {
        Self::new(Limits::default())
    }

    fn noting() -> Self {
        Self::opened(Limits::default()).noting()
    }

    fn take_notes(&mut self) -> Notes {
        self.take_notes()
    }

    fn summary(event: &SqlEvent) -> Option<String> {
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

/// `[mariadb ]operation namespace statement -> rows returned/affected … outcome request-wire/response-wire`
pub(super) fn summary(event: &SqlEvent) -> Option<String> {
    let Event::Exchange(exchange) = event else { return None };
    let (detail, head) = (&exchange.detail, &exchange.detail.request);
    let rows = |rows: Option<u64>| rows.map_or("-".to_owned(), |rows| rows.to_string());
    let statement = match (&head.statement, head.prepared) {
        (Some(statement), _) => format!("`{}{}`", statement.text, if statement.truncated { "…" } else { "" }),
        (None, Some(_)) => "?".to_owned(),
        (None, None) => "-".to_owned(),
    };
    let prepared = match head.prepared {
        Some(Prepared::Known) => " known",
        Some(Prepared::Unknown) => " unknown",
        None => "",
    };
    let failure = detail.failure.as_ref().map(|failure| {
        let code = failure.code.map_or("-".to_owned(), |code| code.to_string());
        format!(" {code}/{}", failure.sqlstate.as_deref().unwrap_or("-----"))
    });
    Some(format!(
        "{}{:?} {} {statement}{prepared} -> rows {}/{}{}{}{} {:?} {}/{}{}",
        if head.system == System::MariaDb { "mariadb " } else { "" },
        head.operation,
        head.namespace.as_deref().unwrap_or("-"),
        rows(detail.rows_returned),
        rows(detail.rows_affected),
        detail.batch_size.map_or(String::new(), |size| format!(" batch {size}")),
        failure.unwrap_or_default(),
        if detail.skipped { " skipped" } else { "" },
        exchange.outcome,
        exchange.request.wire_bytes,
        exchange.response.map_or(0, |response| response.wire_bytes),
        if exchange.damaged { " damaged" } else { "" },
    ))
}
