//! A member of a request that AWS's model constrains: its name, its location and its rule.

use actix_web::http::header::HeaderName;

use super::rule::Rule;
use crate::http::lambda::name_form::NameForm;

pub(crate) struct Member {
    pub(super) location: MemberLocation,
    /// The name in AWS's errors: `maxItems`, or for a member of a member `vpcConfig.subnetIds`.
    pub(super) name: &'static str,
    pub(super) rule: Rule,
    /// It must be there, if the member that holds it is.
    pub(super) required: bool,
}

/// The part of a request that has a member.
#[derive(PartialEq)]
pub(super) enum MemberLocation {
    /// The variable of the path with this name.
    Path(&'static str),
    Query,
    /// All parameters of the query with this name.
    Queries(&'static str),
    Header(HeaderName),
    Body,
}

const fn member(location: MemberLocation, name: &'static str, rule: Rule) -> Member {
    Member {
        location,
        name,
        rule,
        required: false,
    }
}

pub(super) const fn function(form: NameForm) -> Member {
    path("function", "functionName", Rule::Function(form))
}

pub(super) const fn path(variable: &'static str, name: &'static str, rule: Rule) -> Member {
    member(MemberLocation::Path(variable), name, rule)
}

pub(super) const fn query(name: &'static str, rule: Rule) -> Member {
    member(MemberLocation::Query, name, rule)
}

pub(super) const fn max_items(max: i32) -> Member {
    query("maxItems", Rule::Integer { min: 1, max })
}

pub(super) const fn header(header: &'static str, name: &'static str, rule: Rule) -> Member {
    let location = MemberLocation::Header(HeaderName::from_static(header));
    member(location, name, rule)
}

pub(super) const fn body(name: &'static str, rule: Rule) -> Member {
    member(MemberLocation::Body, name, rule)
}

pub(super) const fn required(name: &'static str, rule: Rule) -> Member {
    Member {
        location: MemberLocation::Body,
        name,
        rule,
        required: true,
    }
}

#[cfg(test)]
impl Member {
    pub(in crate::http::lambda) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the variable of the path that it is read from.
    pub(in crate::http::lambda) fn path_variable(&self) -> Option<&'static str> {
        match self.location {
            MemberLocation::Path(variable) => Some(variable),
            _ => None,
        }
    }

    /// Returns whether the patterns of its texts are regular expressions.
    pub(in crate::http::lambda) fn rule_compiles(&self) -> bool {
        match self.rule {
            Rule::Text(text) | Rule::Map { keys: text, .. } | Rule::List { of: text, .. } => {
                text.compiles()
            }
            _ => true,
        }
    }
}
