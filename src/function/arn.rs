//! Under which address the functions are known.

use smallvec::SmallVec;

use crate::error::Fault;
use crate::event::function_name::FunctionName;
use crate::event::meta::LATEST;

/// The address that AWS's records give a function.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Identity {
    /// A region or an account of another form than AWS's: `Invoke` would refuse the ARNs in records.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let Self { region, account } = self;
        let region = (!is_region(region)).then(|| {
            format!("region `{region}` is not one: use a name like `us-east-1`, `us-gov-west-1`, `us-isob-east-1` or `eusc-de-east-1`")
        });
        let account = (!is_account(account))
            .then(|| format!("account `{account}` is not one: use 12 digits"));
        let problems = region.into_iter().chain(account);
        let faults = problems.map(|problem| Fault {
            function: String::new(),
            field: "identity",
            problem,
        });
        faults.collect()
    }

    pub(crate) fn arn(&self, function: &str) -> String {
        format!(
            "arn:aws:lambda:{}:{}:function:{function}",
            self.region, self.account
        )
    }

    /// The function that an ARN of this identity names, and its qualifier.
    pub(crate) fn parse<'a>(&self, arn: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        let rest = arn.strip_prefix("arn:aws:lambda:")?;
        let rest = rest.strip_prefix(&*self.region)?.strip_prefix(':')?;
        let rest = rest.strip_prefix(&*self.account)?;
        let name = rest.strip_prefix(":function:")?;
        Some(match name.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (name, None),
        })
    }

    /// DST-04: always qualified.
    pub(crate) fn qualified_arn(&self, function: &FunctionName, qualifier: Option<&str>) -> String {
        format!(
            "{}:{}",
            self.arn(function.as_str()),
            qualifier.unwrap_or(LATEST)
        )
    }
}

/// `us-east-1`, `us-gov-west-1`, `us-isob-east-1`, `eusc-de-east-1` (NAM-02).
pub(crate) fn is_region(text: &str) -> bool {
    let text = text.strip_prefix("eusc-").unwrap_or(text);
    let lower = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_lowercase());
    let digit = |part: &str| part.len() == 1 && part.bytes().all(|c| c.is_ascii_digit());
    let kind = |part: &str| {
        let iso = part.strip_prefix("iso");
        part == "gov" || iso.is_some_and(|rest| rest.is_empty() || rest.len() == 1 && lower(rest))
    };
    let parts: SmallVec<[&str; 5]> = text.split('-').take(5).collect();
    match *parts {
        [country, area, number] => {
            country.len() == 2 && lower(country) && lower(area) && digit(number)
        }
        [country, part, area, number] => {
            country.len() == 2 && lower(country) && kind(part) && lower(area) && digit(number)
        }
        _ => false,
    }
}

/// 12 digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_that_no_arn_could_name_is_faulty() {
        let faults = |region: &str, account: &str| {
            let (region, account) = (region.to_owned(), account.to_owned());
            let faults = Identity { region, account }.faults();
            faults.iter().map(Fault::to_string).collect::<Vec<_>>()
        };
        for region in [
            "us-east-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "eusc-de-east-1",
        ] {
            assert!(faults(region, "000000000000").is_empty(), "{region}");
        }
        assert_eq!(
            faults("mars", "12"),
            [
                "runtime: identity: region `mars` is not one: use a name like `us-east-1`, `us-gov-west-1`, `us-isob-east-1` or `eusc-de-east-1`",
                "runtime: identity: account `12` is not one: use 12 digits",
            ]
        );
        assert_eq!(faults("", "00000000000a").len(), 2);
    }
}
