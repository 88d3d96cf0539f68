//! A policy document, from its JSON to its statements and back.

use serde_json::{Value, json};

use super::error::PolicyError;
use super::statement::{AttachedTo, Statement};
use super::strict_json::Node;

const VERSION: &str = "2012-10-17";

/// Reads the statements of a document of at most `limit` bytes.
///
/// # Errors
/// When the text is too long, is not JSON, or has any part that this evaluator does not know.
pub(super) fn read(
    text: &str,
    limit: usize,
    attached_to: AttachedTo,
) -> Result<Vec<Statement>, PolicyError> {
    if text.len() > limit {
        let bytes = text.len();
        return Err(PolicyError::TooLarge { bytes, limit });
    }
    let mut document = Node::parse(text)?.map("policy")?;
    match document.take("Version") {
        Some(Node::Text(version)) if version == VERSION => {}
        _ => {
            let problem = "must be \"2012-10-17\": the language of 2008 has other rules";
            return Err(PolicyError::faulty("Version", problem));
        }
    }
    if let Some(id) = document.take("Id") {
        id.text("Id")?;
    }
    let nodes = match document.take("Statement") {
        Some(Node::List(nodes)) => nodes,
        Some(node) => vec![node],
        None => return Err(PolicyError::faulty("policy", "has no Statement")),
    };
    document.end("policy")?;
    read_statements(nodes, attached_to)
}

fn read_statements(
    nodes: Vec<Node>,
    attached_to: AttachedTo,
) -> Result<Vec<Statement>, PolicyError> {
    let mut statements: Vec<Statement> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.into_iter().enumerate() {
        let statement = Statement::read(node, index, attached_to)?;
        let sid = statement.sid();
        let is_taken = |other: &Statement| other.sid() == sid;
        if let Some(sid) = sid.filter(|_| statements.iter().any(is_taken)) {
            let problem = format!("another statement has the Sid {sid}");
            return Err(PolicyError::faulty(format!("Statement[{index}]"), problem));
        }
        statements.push(statement);
    }
    Ok(statements)
}

/// Returns the JSON of a document with these statements, in AWS's form (CFG-36).
pub(super) fn write(statements: &[Value]) -> String {
    json!({ "Version": VERSION, "Id": "default", "Statement": statements }).to_string()
}
