//! One statement of a policy: how it is read, and which requests it applies to.

use super::caller::Caller;
use super::comparison::Mismatch;
use super::condition::ConditionClause;
use super::condition_values::ConditionValues;
use super::error::PolicyError;
use super::pattern::{Pattern, Wildcards};
use super::principal::{Named, StatementPrincipal};
use super::strict_json::{Members, Node};

/// The thing that the policy of a statement is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttachedTo {
    /// A caller: the statement names no principal.
    Identity,
    /// A function: the statement names principals.
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
    /// `None` in a policy of an identity.
    principals: Option<Selection<StatementPrincipal>>,
    actions: Selection<Pattern>,
    resources: Selection<Pattern>,
    conditions: Vec<ConditionClause>,
}

/// A list that names its members, or everything but them.
#[derive(Clone, Debug)]
enum Selection<T> {
    Only(Vec<T>),
    AllBut(Vec<T>),
}

impl Statement {
    /// Reads the statement at this index of its policy.
    pub(super) fn read(
        node: Node,
        index: usize,
        attached_to: AttachedTo,
    ) -> Result<Self, PolicyError> {
        let mut reader = StatementReader::new(node, index)?;
        let effect = reader.effect()?;
        let statement = Self {
            effect,
            principals: reader.principals(effect, attached_to)?,
            actions: reader.patterns("Action", action)?,
            resources: reader.patterns("Resource", resource)?,
            conditions: reader.conditions()?,
            sid: reader.sid,
        };
        reader.members.end(&reader.place)?;
        Ok(statement)
    }

    pub(super) fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Returns how directly the statement names the caller, or `None` if it does not apply to the request.
    pub(super) fn applies(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &ConditionValues,
    ) -> Result<Option<Named>, Mismatch> {
        let named = match &self.principals {
            None => Some(Named::Directly),
            Some(Selection::Only(only)) => only.iter().filter_map(|it| it.names(caller)).max(),
            Some(Selection::AllBut(but)) => {
                let exempt = but.iter().any(|it| it.exempts(caller));
                (!exempt).then_some(Named::Directly)
            }
        };
        let Some(named) = named else {
            return Ok(None);
        };
        let matches = self
            .actions
            .has(|it| it.matches_in_any_case(action, context))
            && self.resources.has(|it| it.matches(resource, context));
        if !matches {
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

/// A statement that is being read.
struct StatementReader {
    sid: Option<String>,
    /// The statement's place in the document, for errors.
    place: String,
    members: Members,
}

/// A member that exists in two forms, `Action` and `NotAction` for instance.
struct NamedOrNot {
    node: Node,
    is_not: bool,
    place: String,
}

impl StatementReader {
    fn new(node: Node, index: usize) -> Result<Self, PolicyError> {
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
        Ok(Self {
            sid,
            place,
            members,
        })
    }

    fn effect(&mut self) -> Result<Effect, PolicyError> {
        let effect = self.members.take("Effect");
        let effect = effect.ok_or_else(|| PolicyError::faulty(&*self.place, "has no Effect"))?;
        let place = format!("{}.Effect", self.place);
        match &*effect.text(&place)? {
            "Allow" => Ok(Effect::Allow),
            "Deny" => Ok(Effect::Deny),
            other => {
                let problem = format!("is `{other}`: use Allow or Deny");
                Err(PolicyError::faulty(place, problem))
            }
        }
    }

    fn principals(
        &mut self,
        effect: Effect,
        attached_to: AttachedTo,
    ) -> Result<Option<Selection<StatementPrincipal>>, PolicyError> {
        let NamedOrNot {
            node,
            is_not,
            place,
        } = match (self.take("Principal")?, attached_to) {
            (None, AttachedTo::Identity) => return Ok(None),
            (Some(found), AttachedTo::Identity) => {
                let problem = "belongs into a policy of a function, not of an identity";
                return Err(PolicyError::faulty(found.place, problem));
            }
            (found, AttachedTo::Resource) => self.required(found, "Principal")?,
        };
        if is_not && effect == Effect::Allow {
            let problem = "would allow all other callers: use Principal, or deny";
            return Err(PolicyError::faulty(place, problem));
        }
        let principals = StatementPrincipal::read(node, &place)?;
        Ok(Some(Selection::of(principals, is_not)))
    }

    fn patterns(
        &mut self,
        name: &str,
        parse: fn(&str, &str) -> Result<Pattern, PolicyError>,
    ) -> Result<Selection<Pattern>, PolicyError> {
        let found = self.take(name)?;
        let NamedOrNot {
            node,
            is_not,
            place,
        } = self.required(found, name)?;
        let texts = node.texts(&place)?.into_iter();
        let patterns: Result<_, _> = texts.map(|text| parse(&text, &place)).collect();
        Ok(Selection::of(patterns?, is_not))
    }

    fn conditions(&mut self) -> Result<Vec<ConditionClause>, PolicyError> {
        match self.members.take("Condition") {
            Some(node) => ConditionClause::read(node, &format!("{}.Condition", self.place)),
            None => Ok(Vec::new()),
        }
    }

    /// Takes the member of this name, or the one that negates it.
    fn take(&mut self, name: &str) -> Result<Option<NamedOrNot>, PolicyError> {
        let plain = self.members.take(name);
        let negated = self.members.take(&format!("Not{name}"));
        let (node, is_not, prefix) = match (plain, negated) {
            (Some(node), None) => (node, false, ""),
            (None, Some(node)) => (node, true, "Not"),
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                let problem = format!("has both {name} and Not{name}");
                return Err(PolicyError::faulty(&*self.place, problem));
            }
        };
        let place = format!("{}.{prefix}{name}", self.place);
        Ok(Some(NamedOrNot {
            node,
            is_not,
            place,
        }))
    }

    fn required(&self, found: Option<NamedOrNot>, name: &str) -> Result<NamedOrNot, PolicyError> {
        found.ok_or_else(|| PolicyError::faulty(&*self.place, format!("has no {name}")))
    }
}

impl<T> Selection<T> {
    fn of(all: Vec<T>, is_not: bool) -> Self {
        match is_not {
            true => Self::AllBut(all),
            false => Self::Only(all),
        }
    }

    fn has(&self, matches: impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Only(only) => only.iter().any(matches),
            Self::AllBut(but) => !but.iter().any(matches),
        }
    }
}

/// Reads `service:Action`, or `*` for every action.
fn action(text: &str, place: &str) -> Result<Pattern, PolicyError> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '?' | '-');
    let is_action = text == "*"
        || text.split_once(':').is_some_and(|(service, name)| {
            let is_legal_in_service = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let has_both = !service.is_empty() && !name.is_empty();
            has_both && service.chars().all(is_legal_in_service) && name.chars().all(is_legal)
        });
    if !is_action {
        let problem = format!(
            "`{text}` is not an action; expected for example lambda:InvokeFunction or lambda:*"
        );
        return Err(PolicyError::faulty(place, problem));
    }
    Pattern::parse(text, Wildcards::Active).map_err(|problem| PolicyError::faulty(place, problem))
}

/// Reads an ARN, or `*` for every resource.
fn resource(text: &str, place: &str) -> Result<Pattern, PolicyError> {
    if text != "*" && !text.starts_with("arn:") {
        let problem = format!("`{text}` is not an ARN, and not *");
        return Err(PolicyError::faulty(place, problem));
    }
    Pattern::parse(text, Wildcards::Active).map_err(|problem| PolicyError::faulty(place, problem))
}
