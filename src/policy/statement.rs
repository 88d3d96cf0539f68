//! One statement of a policy.

use super::PolicyError;
use super::condition::{ConditionClause, Mismatch};
use super::context::ConditionValues;
use super::pattern::{Pattern, Wild};
use super::principal::{Caller, Named, StatementPrincipal};
use super::strict_json::Node;

/// Whose policy a statement stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttachedTo {
    /// It grants to whom it is attached: no principal.
    Identity,
    /// It grants on what it is attached to: principals.
    Resource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug)]
pub(super) struct Statement {
    sid: Option<String>,
    pub(super) effect: Effect,
    /// None in a policy of an identity.
    principals: Option<Set<StatementPrincipal>>,
    actions: Set<Pattern>,
    resources: Set<Pattern>,
    conditions: Vec<ConditionClause>,
}

/// These, or all but these.
#[derive(Clone, Debug)]
enum Set<T> {
    These(Vec<T>),
    Not(Vec<T>),
}

impl Statement {
    pub(super) fn read(node: Node, index: usize, side: AttachedTo) -> Result<Self, PolicyError> {
        let place = format!("Statement[{index}]");
        let mut members = node.map(&place)?;
        let sid = members
            .take("Sid")
            .map(|sid| sid.text(&format!("{place}.Sid")));
        let sid = sid.transpose()?;
        let place = match &sid {
            Some(sid) => format!("{place} ({sid})"),
            None => place,
        };
        let effect = members.take("Effect");
        let effect = effect.ok_or_else(|| PolicyError::faulty(&*place, "has no Effect"))?;
        let effect = match &*effect.text(&format!("{place}.Effect"))? {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            other => {
                let problem = format!("is `{other}`: use Allow or Deny");
                return Err(PolicyError::faulty(format!("{place}.Effect"), problem));
            }
        };
        let set = |members: &mut super::strict_json::Members, name: &str| {
            let these = members.take(name);
            let not = members.take(&format!("Not{name}"));
            match (these, not) {
                (Some(these), None) => Ok(Some((these, false, format!("{place}.{name}")))),
                (None, Some(not)) => Ok(Some((not, true, format!("{place}.Not{name}")))),
                (None, None) => Ok(None),
                (Some(_), Some(_)) => {
                    let problem = format!("has both {name} and Not{name}");
                    Err(PolicyError::faulty(&*place, problem))
                }
            }
        };
        let needed = |found: Option<(Node, bool, String)>, name: &str| {
            found.ok_or_else(|| PolicyError::faulty(&*place, format!("has no {name}")))
        };
        let principals = match (set(&mut members, "Principal")?, side) {
            (None, AttachedTo::Identity) => None,
            (Some((.., place)), AttachedTo::Identity) => {
                let problem = "belongs into a policy of a function, not of an identity";
                return Err(PolicyError::faulty(place, problem));
            }
            (found, AttachedTo::Resource) => {
                let (node, not, place) = needed(found, "Principal")?;
                if not && effect == Effect::Allow {
                    let problem = "would allow everybody else: use Principal, or deny";
                    return Err(PolicyError::faulty(place, problem));
                }
                Some(Set::of(StatementPrincipal::read(node, &place)?, not))
            }
        };
        let (node, not, at) = needed(set(&mut members, "Action")?, "Action")?;
        let actions = node.texts(&at)?.into_iter();
        let actions: Result<_, _> = actions.map(|it| action(&it, &at)).collect();
        let actions = Set::of(actions?, not);
        let (node, not, at) = needed(set(&mut members, "Resource")?, "Resource")?;
        let resources = node.texts(&at)?.into_iter();
        let resources: Result<_, _> = resources.map(|it| resource(&it, &at)).collect();
        let resources = Set::of(resources?, not);
        let conditions = match members.take("Condition") {
            Some(node) => ConditionClause::read(node, &format!("{place}.Condition"))?,
            None => Vec::new(),
        };
        members.end(&place)?;
        Ok(Self {
            sid,
            effect,
            principals,
            actions,
            resources,
            conditions,
        })
    }

    pub(super) fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Does it apply to the request, and how directly does it name the caller?
    pub(super) fn applies(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &ConditionValues,
    ) -> Result<Option<Named>, Mismatch> {
        let named = match &self.principals {
            None => Some(Named::Directly),
            Some(Set::These(these)) => these.iter().filter_map(|it| it.names(caller)).max(),
            Some(Set::Not(not)) => {
                let excepted = not.iter().any(|it| it.excepts(caller));
                (!excepted).then_some(Named::Directly)
            }
        };
        let Some(named) = named else {
            return Ok(None);
        };
        let meant = self
            .actions
            .has(|it| it.matches_in_any_case(action, context))
            && self.resources.has(|it| it.matches(resource, context));
        if !meant {
            return Ok(None);
        }
        for condition in &self.conditions {
            if !condition.is_met(context)? {
                return Ok(None);
            }
        }
        Ok(Some(named))
    }
}

impl<T> Set<T> {
    fn of(all: Vec<T>, not: bool) -> Self {
        match not {
            true => Self::Not(all),
            false => Self::These(all),
        }
    }

    fn has(&self, meant: impl Fn(&T) -> bool) -> bool {
        match self {
            Self::These(these) => these.iter().any(meant),
            Self::Not(not) => !not.iter().any(meant),
        }
    }
}

/// `service:Action`, or everything.
fn action(text: &str, place: &str) -> Result<Pattern, PolicyError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '?' | '-');
    let known = text == "*"
        || text.split_once(':').is_some_and(|(service, name)| {
            let service_legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let named = !service.is_empty() && !name.is_empty();
            named && service.chars().all(service_legal) && name.chars().all(legal)
        });
    if !known {
        let problem = format!("`{text}` is no action such as lambda:InvokeFunction or lambda:*");
        return Err(PolicyError::faulty(place, problem));
    }
    Pattern::parse(text, Wild::Cards).map_err(|problem| PolicyError::faulty(place, problem))
}

/// An ARN, or everything.
fn resource(text: &str, place: &str) -> Result<Pattern, PolicyError> {
    if text != "*" && !text.starts_with("arn:") {
        let problem = format!("`{text}` is no ARN, and not *");
        return Err(PolicyError::faulty(place, problem));
    }
    Pattern::parse(text, Wild::Cards).map_err(|problem| PolicyError::faulty(place, problem))
}
