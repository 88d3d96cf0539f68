//! The principal behind an access key.

/// The identity behind an access key, as policies and logs name it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// The ARN, such as `arn:aws:iam::123456789012:user/alice`.
    pub arn: String,
    /// The account's twelve digits.
    pub account: String,
    /// AWS's stable id of the user or session, such as `AIDAEXAMPLE`. Unless it is set, the ARN.
    pub user_id: String,
}

impl Principal {
    /// Returns the principal with this ARN, whose fifth field is the account.
    pub fn new(arn: impl Into<String>) -> Self {
        let arn = arn.into();
        Self {
            account: arn.split(':').nth(4).unwrap_or_default().to_owned(),
            user_id: arn.clone(),
            arn,
        }
    }

    /// Sets the account, if the ARN does not contain it.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// Sets the stable id.
    #[must_use]
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = user_id.into();
        self
    }
}
