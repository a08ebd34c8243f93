//! Conditions in the Common Expression Language (CEL): `claims.department == "risk" && request.method != "DELETE"`.
//!
//! A condition is compiled once. Names that do not exist, functions that are not listed in [`FUNCTIONS`] and expressions that could
//! be slow are refused then: nothing that a caller sends makes an evaluation long. The language has no types until it is evaluated;
//! a claim that is missing or of another type means that the condition is not met.

mod values;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, IdedExpr, Program, Value,
    common::{
        ast::{EntryExpr, Expr, operators},
        value::CowVal,
    },
    context::VariableResolver,
};

use self::values::{Members, RequestMembers};
use crate::{caller::Known, request::AccessRequest};

/// The longest condition, in bytes.
const LONGEST: usize = 2000;
/// The most parts of a condition, such as names, literals and calls.
const PARTS: usize = 200;
/// The deepest nesting of a condition.
const DEPTH: usize = 24;

/// The functions that a condition may call, beside the operators, `has` and `in`.
const FUNCTIONS: [&str; 4] = ["contains", "startsWith", "endsWith", "size"];

/// The members of `request`. The path is not among them: servers read paths in several ways, and only the rule's own `path` judges
/// all of them.
const REQUEST: [&str; 2] = ["method", "host"];

static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A condition on the claims of a caller and on the request.
#[derive(Clone)]
pub struct Condition {
    source: String,
    program: Arc<Program>,
}

/// Reasons a condition cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionError {
    /// It is not an expression of the language.
    Syntax {
        /// the parser's words
        reason: String,
    },
    /// It could take long to evaluate, or to read.
    TooLarge {
        /// the part that is too large, and its limit
        what: String,
    },
    /// It uses a name that is neither `claims` nor `request` nor a variable of `exists` or `all`.
    UnknownName {
        /// the name
        name: String,
    },
    /// It calls a function that conditions do not have.
    UnknownFunction {
        /// the function
        name: String,
    },
    /// It uses a form that conditions do not have.
    Unsupported {
        /// the form
        what: &'static str,
    },
}

/// The result of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    NotMet,
    /// It cannot be evaluated for this caller, for this reason.
    Unknown(String),
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    ///
    /// [`ConditionError`] says what to change.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        if source.len() > LONGEST {
            let what = format!("it has {} bytes, at most {LONGEST} are read", source.len());
            return Err(ConditionError::TooLarge { what });
        }
        let deep = nesting(source);
        if deep > DEPTH {
            return Err(ConditionError::deep());
        }
        let program = ENV.compile(source).map_err(|errors| {
            let first = errors.errors.first();
            let reason = first.map_or_else(String::new, |error| {
                let text = error.msg.lines().next().unwrap_or_default();
                format!("column {}: {text}", error.pos.1)
            });
            ConditionError::Syntax { reason }
        })?;
        let mut check = Check { parts: 0, variables: Vec::new() };
        check.expression(program.expression(), 0)?;
        Ok(Self { source: source.to_owned(), program: Arc::new(program) })
    }

    /// The condition as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether this caller meets it with this request.
    pub fn is_met_by(&self, known: &Known, request: &AccessRequest<'_>) -> bool {
        self.judge(known, request) == Verdict::Met
    }

    pub(crate) fn judge(&self, known: &Known, request: &AccessRequest<'_>) -> Verdict {
        let names = Names { known, request };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&names);
        match self.program.execute(&context) {
            Ok(Value::Bool(true)) => Verdict::Met,
            Ok(Value::Bool(false)) => Verdict::NotMet,
            Ok(_) => Verdict::Unknown("its result is neither true nor false".to_owned()),
            Err(error) => Verdict::Unknown(error.to_string()),
        }
    }
}

/// The names that a condition may use.
struct Names<'a> {
    known: &'a Known,
    request: &'a AccessRequest<'a>,
}

impl VariableResolver for Names<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match name {
            "claims" => Some(CowVal::owned(Members(&self.known.claims))),
            "request" => Some(CowVal::owned(RequestMembers(self.request))),
            _ => None,
        }
    }
}

/// Refuses what a condition may not have.
struct Check<'a> {
    parts: usize,
    /// Variables of the comprehensions around.
    variables: Vec<&'a str>,
}

impl<'a> Check<'a> {
    fn expression(&mut self, of: &'a IdedExpr, depth: usize) -> Result<(), ConditionError> {
        self.parts += 1;
        if self.parts > PARTS {
            let what = format!("it has more than {PARTS} names, literals and calls");
            return Err(ConditionError::TooLarge { what });
        }
        if depth > DEPTH {
            return Err(ConditionError::deep());
        }
        let depth = depth + 1;
        match &of.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if self.variables.contains(&name.as_str()) => Ok(()),
            // Alone they are no values that anything could be compared with.
            Expr::Ident(name) if name == "request" => {
                Err(ConditionError::Unsupported { what: "`request` without a member" })
            }
            Expr::Ident(name) if name == "claims" => {
                Err(ConditionError::Unsupported { what: "`claims` without a member" })
            }
            Expr::Ident(name) => Err(ConditionError::UnknownName { name: name.clone() }),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == "request" => {
                    let known = REQUEST.contains(&select.field.as_str());
                    let name = || format!("request.{}", select.field);
                    known.then_some(()).ok_or_else(|| ConditionError::UnknownName { name: name() })
                }
                Expr::Ident(name) if name == "claims" => Ok(()),
                _ => self.expression(&select.operand, depth),
            },
            Expr::Call(call) => {
                let operator = [
                    operators::CONDITIONAL,
                    operators::LOGICAL_AND,
                    operators::LOGICAL_OR,
                    operators::LOGICAL_NOT,
                    operators::SUBSTRACT,
                    operators::ADD,
                    operators::MULTIPLY,
                    operators::DIVIDE,
                    operators::MODULO,
                    operators::EQUALS,
                    operators::NOT_EQUALS,
                    operators::GREATER_EQUALS,
                    operators::LESS_EQUALS,
                    operators::GREATER,
                    operators::LESS,
                    operators::NEGATE,
                    operators::INDEX,
                    operators::IN,
                    operators::NOT_STRICTLY_FALSE,
                ];
                let name = call.func_name.as_str();
                if !operator.contains(&name) && !FUNCTIONS.contains(&name) {
                    return Err(ConditionError::UnknownFunction { name: name.to_owned() });
                }
                // `claims['name']`, `'name' in claims`
                let holder = match name {
                    operators::INDEX => call.args.first(),
                    operators::IN => call.args.last(),
                    _ => None,
                };
                let is_claims =
                    |part: &IdedExpr| matches!(&part.expr, Expr::Ident(name) if name == "claims");
                let held = holder.filter(|part| is_claims(part));
                let target = call.target.iter().map(|target| &**target);
                let mut parts = target.chain(&call.args);
                parts.try_for_each(|part| match held {
                    Some(claims) if std::ptr::eq(claims, part) => Ok(()),
                    _ => self.expression(part, depth),
                })
            }
            Expr::List(list) => {
                list.elements.iter().try_for_each(|part| self.expression(part, depth))
            }
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, depth)?;
                    self.expression(&entry.value, depth)
                }
                EntryExpr::StructField(_) => Err(ConditionError::Unsupported { what: "a message" }),
            }),
            Expr::Comprehension(each) => {
                if !self.variables.is_empty() {
                    let what = "`exists` or `all` inside another one: its time grows with the square of a list";
                    return Err(ConditionError::Unsupported { what });
                }
                // `map` and `filter` build lists.
                if matches!(each.accu_init.expr, Expr::List(_)) {
                    return Err(ConditionError::Unsupported { what: "`map` and `filter`" });
                }
                self.expression(&each.iter_range, depth)?;
                self.variables.extend([each.iter_var.as_str(), each.accu_var.as_str()]);
                self.variables.extend(each.iter_var2.as_deref());
                let parts = [&each.accu_init, &each.loop_cond, &each.loop_step, &each.result];
                let checked = parts.into_iter().try_for_each(|part| self.expression(part, depth));
                self.variables.clear();
                checked
            }
            Expr::Struct(_) => Err(ConditionError::Unsupported { what: "a message" }),
            Expr::Unspecified => Err(ConditionError::Syntax { reason: "it is empty".to_owned() }),
        }
    }
}

/// The deepest nesting of brackets and of prefixes, without reading the expression: the parser calls itself for each.
fn nesting(source: &str) -> usize {
    let (mut open, mut prefixes, mut deepest) = (0_usize, 0_usize, 0_usize);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'!' | b'-' => prefixes += 1,
            b'?' => prefixes += 1,
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            _ => prefixes = 0,
        }
        deepest = deepest.max(open + prefixes);
    }
    deepest
}

impl ConditionError {
    fn deep() -> Self {
        Self::TooLarge { what: format!("it is nested more than {DEPTH} deep") }
    }
}

// === impl Condition ===

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { reason } => write!(f, "invalid condition: {reason}"),
            Self::TooLarge { what } => {
                write!(f, "condition too large: {what}; split it into several requirements")
            }
            Self::UnknownName { name } => write!(
                f,
                "unknown name `{name}`; a condition has `claims.NAME`, `request.method` and `request.host`; for paths, write the rule's `path`"
            ),
            Self::UnknownFunction { name } => {
                write!(f, "unknown function `{name}`; a condition has {}", FUNCTIONS.join(", "))?;
                f.write_str(", has, exists, exists_one and all")
            }
            Self::Unsupported { what } => write!(f, "a condition cannot have {what}"),
        }
    }
}

impl std::error::Error for ConditionError {}

#[cfg(test)]
mod tests;
