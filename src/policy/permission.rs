//! A permission in the parameters of AWS's `AddPermission`, and the statement that it becomes (CFG-31 to CFG-35).

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::PolicyError;
use super::principal_name::{is_account, is_aws_service, is_principal_arn};

/// A grant of one action to one principal, in AWS's parameters.
///
/// `Debug` omits the token.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Permission {
    /// The statement's id: 1 to 100 letters, digits, `-` and `_`.
    pub statement_id: String,
    /// `lambda:InvokeFunction`, another Lambda action, `lambda:*` or `*`.
    pub action: String,
    /// An AWS service (`s3.amazonaws.com`), an account, an ARN, or `*`.
    pub principal: String,
    /// The resource that the service must act for.
    pub source_arn: Option<String>,
    /// The account that the service must act for.
    pub source_account: Option<String>,
    /// A token that the caller must know.
    pub event_source_token: Option<String>,
    /// `NONE` or `AWS_IAM`; only for the action `lambda:InvokeFunctionUrl`.
    pub function_url_auth_type: Option<String>,
    /// `true` limits the grant to calls through the function's URL.
    pub invoked_via_function_url: Option<bool>,
    /// The organisation that the caller must belong to.
    #[serde(rename = "PrincipalOrgID")]
    pub principal_org_id: Option<String>,
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permission")
            .field("statement_id", &self.statement_id)
            .field("action", &self.action)
            .field("principal", &self.principal)
            .field("source_arn", &self.source_arn)
            .field("source_account", &self.source_account)
            .finish_non_exhaustive()
    }
}

impl Permission {
    /// Returns the statement for the function with this ARN.
    ///
    /// # Errors
    /// When a parameter is invalid.
    pub fn statement(&self, function: &str) -> Result<Value, PolicyError> {
        self.check()?;
        let mut condition = Map::new();
        let mut put = |operator: &str, key: &str, value: &Option<String>| {
            if let Some(value) = value {
                let of = condition.entry(operator).or_insert_with(|| json!({}));
                of[key] = json!(value);
            }
        };
        put("StringEquals", "AWS:SourceAccount", &self.source_account);
        put("ArnLike", "AWS:SourceArn", &self.source_arn);
        put("StringEquals", "aws:PrincipalOrgID", &self.principal_org_id);
        let token = &self.event_source_token;
        put("StringEquals", "lambda:EventSourceToken", token);
        let auth = &self.function_url_auth_type;
        put("StringEquals", "lambda:FunctionUrlAuthType", auth);
        let via = self.invoked_via_function_url.map(|via| via.to_string());
        put("Bool", "lambda:InvokedViaFunctionUrl", &via);
        let mut statement = json!({
            "Sid": self.statement_id,
            "Effect": "Allow",
            "Principal": self.principal()?,
            "Action": self.action,
            "Resource": function,
        });
        if !condition.is_empty() {
            statement["Condition"] = Value::Object(condition);
        }
        Ok(statement)
    }

    /// CFG-33
    fn principal(&self) -> Result<Value, PolicyError> {
        let name = &*self.principal;
        Ok(match name {
            "*" => json!("*"),
            account if is_account(account) => {
                json!({ "AWS": format!("arn:aws:iam::{account}:root") })
            }
            arn if is_principal_arn(arn) => json!({ "AWS": arn }),
            service if is_aws_service(service) => json!({ "Service": service }),
            _ => {
                return Err(PolicyError::Permission(
                    "The provided principal was invalid. Please check the principal and try again."
                        .to_owned(),
                ));
            }
        })
    }

    /// CFG-31
    fn check(&self) -> Result<(), PolicyError> {
        let refuse = |problem: String| Err(PolicyError::Permission(problem));
        let word = |text: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            text.chars().all(legal)
        };
        let sid = &*self.statement_id;
        if sid.is_empty() || sid.len() > 100 || !word(sid) {
            return refuse(format!(
                "StatementId '{sid}' must have 1 to 100 letters, digits, - and _"
            ));
        }
        let action = &*self.action;
        let name = action.strip_prefix("lambda:");
        let named = name.is_some_and(|name| {
            name == "*" || !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic())
        });
        if action != "*" && !named {
            return refuse(format!(
                "Action '{action}' must be an action of Lambda's, lambda:* or *"
            ));
        }
        if let Some(account) = self.source_account.as_deref().filter(|it| !is_account(it)) {
            return refuse(format!("SourceAccount '{account}' must have 12 digits"));
        }
        if self.function_url_auth_type.is_some() && action != "lambda:InvokeFunctionUrl" {
            return refuse(
                "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
                    .to_owned(),
            );
        }
        match self.function_url_auth_type.as_deref() {
            None | Some("NONE" | "AWS_IAM") => Ok(()),
            Some(other) => refuse(format!(
                "FunctionUrlAuthType '{other}' must be NONE or AWS_IAM"
            )),
        }
    }
}
