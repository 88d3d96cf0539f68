//! The reasons for which a policy, a statement or a permission is refused.

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is not JSON, or an object has a member twice.
    #[error("the policy can't be read: {0}")]
    Json(String),
    /// The policy is too long. Shorten it, or give several.
    #[error("the policy has {bytes} bytes, and {limit} are allowed")]
    TooLarge {
        /// The bytes it has.
        bytes: usize,
        /// The bytes it may have (CFG-35).
        limit: usize,
    },
    /// A part of the document is wrong. Correct the part at `place`.
    #[error("{place}: {problem}")]
    Faulty {
        /// The place in the document.
        place: String,
        /// The fault, and the correct form.
        problem: String,
    },
    /// Another statement has this id (CFG-35).
    #[error(
        "The statement id ({0}) provided already exists. Please provide a new statement id, or remove the existing statement."
    )]
    DuplicateSid(String),
    /// No statement has this id (CFG-37).
    #[error("Statement {0} is not found in resource policy.")]
    UnknownSid(String),
    /// A parameter of a permission is invalid (CFG-31).
    #[error("{0}")]
    Permission(String),
}

impl PolicyError {
    /// Returns a fault at a place of the document.
    pub(super) fn faulty(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Faulty {
            place: place.into(),
            problem: problem.into(),
        }
    }
}
