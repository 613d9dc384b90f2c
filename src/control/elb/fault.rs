//! Why the ELB API does not do what it is asked for, in the codes that scripts of its users look for.

/// What is answered instead of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElbFault {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl ElbFault {
    /// An attribute is missing, unknown or has a value that is not taken.
    pub fn attribute(name: &str, why: impl std::fmt::Display) -> ElbFault {
        let message = format!("attribute `{}` {why}", name.escape_debug());
        ElbFault { status: 400, code: "ELB.8902", message }
    }

    pub fn bad_request(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 400, code: "ELB.8902", message: message.into() }
    }

    /// A certificate or key that is none, or is none of the other's.
    pub fn certificate(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 400, code: "ELB.1011", message: message.into() }
    }

    pub fn signature(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 401, code: "APIGW.0301", message: message.into() }
    }

    pub fn forbidden(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 403, code: "ELB.8903", message: message.into() }
    }

    pub fn missing(noun: &str, id: &str) -> ElbFault {
        let message = format!("there is no {noun} with the id \"{}\"", id.escape_debug());
        ElbFault { status: 404, code: "ELB.8904", message }
    }

    pub fn no_such_call() -> ElbFault {
        let message = "there is no such call: docs/elb_api.md lists those that are taken".to_owned();
        ElbFault { status: 404, code: "APIGW.0101", message }
    }

    /// Something is in use, there already, or stands in the way otherwise.
    pub fn conflict(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 409, code: "ELB.8907", message: message.into() }
    }

    pub fn quota(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 409, code: "ELB.8905", message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 500, code: "ELB.8906", message: message.into() }
    }

    pub fn busy(message: impl Into<String>) -> ElbFault {
        ElbFault { status: 503, code: "ELB.8906", message: message.into() }
    }
}
