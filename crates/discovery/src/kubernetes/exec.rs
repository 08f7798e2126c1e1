//! `Exec`: a program that the file of `kubectl` names tells who we are, for a while. What it says is kept
//! until it ends, or is refused.

use crate::{error::SourceError, json::Json, token::Token};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use skopos_model::null_is_default;
use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// How long the program may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is looked at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The most bytes that it may say.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How long something holds that has no end.
const NO_END: SignedDuration = SignedDuration::from_hours(24);

/// The program, as the file has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Program {
    api_version: String,
    command: String,
    #[serde(deserialize_with = "null_is_default")]
    args: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    env: Vec<Variable>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

impl Program {
    /// The same, where a path that is no name alone stands beside the file in `folder`.
    pub(crate) fn beside(mut self, folder: &Path) -> Self {
        if self.command.contains('/') {
            self.command = folder.join(&self.command).to_string_lossy().into_owned();
        }
        self
    }
}

/// See above.
#[derive(Debug)]
pub(super) struct Exec {
    program: Program,
    kept: Mutex<Option<Token>>,
}

impl Exec {
    pub(super) fn new(program: Program) -> Self {
        Self { program, kept: Mutex::default() }
    }

    /// The value of the header `Authorization` of now.
    pub(super) async fn authorization(&self) -> Result<String, SourceError> {
        // Whoever comes while the program runs waits for what it says.
        let mut kept = self.kept.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.is_good()) {
            return Ok(token.bearer());
        }
        let program = self.program.clone();
        let ran = tokio::task::spawn_blocking(move || run(&program)).await;
        let failed = |e: &dyn std::fmt::Display| {
            SourceError::Setup(format!("the program {:?} tells no credentials: {e}", self.program.command))
        };
        let answer = ran.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        let token = token_of(Json::new(&answer)).map_err(|e| failed(&e))?;
        Ok(kept.insert(token).bearer())
    }

    /// What was said last is not good any more.
    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}

fn token_of(answer: Json<'_>) -> Result<Token, &'static str> {
    let status = answer.get("status");
    let text = status.text("token");
    if text.is_empty() && status.get("clientCertificateData").is_there() {
        return Err("it tells a certificate, which is not used: let it tell a token");
    }
    if text.is_empty() {
        return Err("there is no token in what it says");
    }
    let until = status.text("expirationTimestamp").parse().unwrap_or_else(|_| Timestamp::now() + NO_END);
    Ok(Token::until(text, until))
}

/// What the program says.
fn run(program: &Program) -> Result<Value, String> {
    let about = json!({
        "apiVersion": program.api_version, "kind": "ExecCredential", "spec": {"interactive": false},
    });
    let mut command = Command::new(&program.command);
    command.args(&program.args).env("KUBERNETES_EXEC_INFO", about.to_string());
    command.envs(program.env.iter().map(|variable| (&variable.name, &variable.value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let said = child.stdout.take().map(|out| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            out.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes)
        })
    });
    wait(&mut child)?;
    let said = said.ok_or("it says nothing")?.join().map_err(|_| "it cannot be read")?;
    serde_json::from_slice(&said.map_err(|e| e.to_string())?).map_err(|e| format!("it says no JSON: {e}"))
}

/// Until the program has ended well; one that takes too long is ended.
fn wait(child: &mut Child) -> Result<(), String> {
    let until = Instant::now() + TIMEOUT;
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("it ended with {status}")),
            None if Instant::now() >= until => {
                // It may have ended meanwhile.
                let _ended = child.kill().and_then(|()| child.wait().map(drop));
                return Err(format!("it took more than {} s", TIMEOUT.as_secs()));
            }
            None => thread::sleep(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str) -> Program {
        let args = vec!["-c".to_owned(), script.to_owned()];
        let env = vec![Variable { name: "WHO".to_owned(), value: "me".to_owned() }];
        Program {
            api_version: "client.authentication.k8s.io/v1".to_owned(),
            command: "sh".to_owned(),
            args,
            env,
        }
    }

    #[test]
    fn what_a_program_says_is_read_and_what_it_does_not_is_said() {
        let says = |script: &str| {
            run(&program(script)).and_then(|value| {
                token_of(Json::new(&value)).map(|token| token.bearer()).map_err(str::to_owned)
            })
        };
        let script = r#"echo "$KUBERNETES_EXEC_INFO" | grep -q ExecCredential && until=2999-01-01T00:00:00Z &&
            echo "{\"status\": {\"token\": \"of-$WHO\", \"expirationTimestamp\": \"$until\"}}""#;
        assert_eq!(says(script).unwrap(), "Bearer of-me");
        for (script, said) in [
            ("exit 3", "exit status: 3"),
            ("echo '{'", "no JSON"),
            ("echo '{}'", "no token"),
            (r#"echo '{"status": {"clientCertificateData": "x"}}'"#, "a certificate"),
        ] {
            let error = says(script).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
