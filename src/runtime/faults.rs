//! The faults of a builder's settings: all of them are found before anything is started.

use std::collections::HashSet;
use std::time::Duration;

use super::Builder;
use crate::admission::checks::Limits;
use crate::error::Fault;
use crate::function::Function;

impl Builder {
    /// Returns all faults of the settings.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> = self.functions.iter().flat_map(Function::faults).collect();
        faults.extend(self.identity.faults());
        faults.extend(self.faulty_names());
        faults.extend(self.faulty_former_names());
        faults.extend(self.faulty_bounds());
        faults
    }

    /// Returns a fault for each function whose name an earlier one has.
    fn faulty_names(&self) -> impl Iterator<Item = Fault> {
        let mut seen = HashSet::new();
        let functions = self.functions.iter();
        let doubles = functions.filter(move |function| !seen.insert(&function.name));
        doubles.map(|function| Fault {
            function: function.name.to_string(),
            field: "name",
            problem: "is given to two functions: give each its own".to_owned(),
        })
    }

    /// Returns a fault for each former name that another function has or had.
    fn faulty_former_names(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for function in &self.functions {
            for former in &function.former {
                let others = self.functions.iter().filter(|other| {
                    other.name != function.name
                        && (other.name == *former || other.former.contains(former))
                });
                faults.extend(others.map(|other| Fault {
                    function: function.name.to_string(),
                    field: "formerly",
                    problem: format!("`{former}` is, or was, the name of function `{}`: only one can have what is kept under it", other.name),
                }));
            }
        }
        faults
    }

    fn faulty_bounds(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |field, is_faulty, problem: &str| {
            if is_faulty {
                faults.push(Fault {
                    function: String::new(),
                    field,
                    problem: problem.to_owned(),
                });
            }
        };
        let watch_min = Duration::from_millis(10);
        let arbiters = self.arbiters == Some(0);
        let blocked_after = self.blocked_after < watch_min;
        let letters = self.dead_letters.letters_max == 0;
        let deaths = self.deaths_max == 0;
        check("arbiters", arbiters, "is 0: workers need at least one");
        check(
            "blocked_after",
            blocked_after,
            "is below 10 ms: the watch would do nothing else",
        );
        self.limits.check(&mut check);
        check(
            "dead_letters",
            letters,
            "keeps no letter: give it room for at least one",
        );
        check(
            "process_deaths_max",
            deaths,
            "is 0: no event would ever run",
        );
        faults
    }
}

impl Limits {
    fn check(&self, check: &mut impl FnMut(&'static str, bool, &str)) {
        let (event, call) = (self.event_payload_max == 0, self.call_payload_max == 0);
        let headers = self.headers_max < 256;
        let keys = self.idempotency.records_max == 0 || self.idempotency.bytes_max == 0;
        check("event_payload_max", event, "is 0: no event would fit");
        check("call_payload_max", call, "is 0: no call would fit");
        check(
            "headers_max",
            headers,
            "is below 256: a trace header with its lineage would not fit",
        );
        check("idempotency_max", keys, "is 0: no key would be remembered");
    }
}
