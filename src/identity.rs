//! Under which address the functions are known.

use crate::origin::LATEST;
use crate::settings::FunctionName;

/// The address that AWS's records give a function.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Identity {
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
