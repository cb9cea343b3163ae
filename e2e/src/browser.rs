//! A browser as a person uses it: finds things by `data-testid`, clicks, types, reads. Every look is
//! repeated until it succeeds or its deadline passes, because a live page redraws under the test.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, Locator};
use serde_json::Value;
use tokio::time::timeout;

use crate::console::{Entry, TakeEntries};
use crate::driver::Driver;
use crate::wait::until;

/// Time the page has for what follows a click.
pub const SOON: Duration = Duration::from_secs(20);

/// Time one call of the driver may take.
const CALL: Duration = Duration::from_secs(70);

/// One window.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    driver: Driver,
    shots: PathBuf,
}

impl Browser {
    /// Starts a browser with an empty profile. Pictures go into `shots`.
    ///
    /// # Errors
    /// chromedriver or Chromium is missing or does not start.
    pub async fn start(shots: PathBuf) -> Result<Self> {
        let (driver, client) = Driver::start().await?;
        Ok(Self {
            client,
            driver,
            shots,
        })
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// It does not answer any more.
    pub async fn close(self) -> Result<()> {
        let closed = call(self.client.close()).await;
        self.driver.end().await?;
        closed
    }

    /// Opens an address.
    ///
    /// # Errors
    /// The page does not load.
    pub async fn open(&self, url: &str) -> Result<()> {
        call(self.client.goto(url))
            .await
            .with_context(|| format!("open {url}"))
    }

    /// The address shown.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn address(&self) -> Result<String> {
        Ok(call(self.client.current_url()).await?.to_string())
    }

    /// Waits until something is on screen.
    ///
    /// # Errors
    /// It does not appear soon.
    pub async fn see(&self, testid: &str) -> Result<()> {
        self.see_within(testid, SOON).await
    }

    /// Waits until something is on screen, with a deadline of its own.
    ///
    /// # Errors
    /// It does not appear in time.
    pub async fn see_within(&self, testid: &str, patience: Duration) -> Result<()> {
        until(&format!("`{testid}` on screen"), patience, async || {
            Ok(self.shown(testid).await?.map(drop))
        })
        .await
    }

    /// Waits until something is not on screen.
    ///
    /// # Errors
    /// It stays.
    pub async fn gone(&self, testid: &str) -> Result<()> {
        until(&format!("`{testid}` gone"), SOON, async || {
            Ok(self.shown(testid).await?.is_none().then_some(()))
        })
        .await
    }

    /// True if something is on screen now.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn is_shown(&self, testid: &str) -> Result<bool> {
        Ok(self.shown(testid).await?.is_some())
    }

    /// Clicks.
    ///
    /// # Errors
    /// It is not there, disabled, or covered for too long.
    pub async fn click(&self, testid: &str) -> Result<()> {
        until(&format!("click `{testid}`"), SOON, async || {
            let Some(element) = self.shown(testid).await? else {
                return Ok(None);
            };
            if !call(element.is_enabled()).await? {
                bail!("it is disabled");
            }
            call(element.click()).await?;
            Ok(Some(()))
        })
        .await
    }

    /// Replaces what stands in an input.
    ///
    /// # Errors
    /// It is not there or does not take the text.
    pub async fn fill(&self, testid: &str, text: &str) -> Result<()> {
        until(&format!("fill `{testid}`"), SOON, async || {
            let Some(element) = self.shown(testid).await? else {
                return Ok(None);
            };
            call(element.clear()).await?;
            call(element.send_keys(text)).await?;
            let value = call(element.prop("value")).await?;
            // The text itself may be a password.
            ensure!(
                value.as_deref() == Some(text),
                "the input holds something else"
            );
            Ok(Some(()))
        })
        .await
    }

    /// Chooses in a list by what is sent.
    ///
    /// # Errors
    /// There is no such list or entry.
    pub async fn choose(&self, testid: &str, value: &str) -> Result<()> {
        until(&format!("choose {value} in `{testid}`"), SOON, async || {
            let Some(element) = self.shown(testid).await? else {
                return Ok(None);
            };
            call(element.select_by_value(value)).await?;
            Ok(Some(()))
        })
        .await
    }

    /// Presses keys wherever the focus is, e.g. [`fantoccini::key::Key`] codes.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let focused = call(self.client.active_element()).await?;
        call(focused.send_keys(keys)).await
    }

    /// `data-testid` of what has the focus.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn focused(&self) -> Result<Option<String>> {
        let focused = call(self.client.active_element()).await?;
        call(focused.attr("data-testid")).await
    }

    /// The text of something on screen.
    ///
    /// # Errors
    /// It does not appear soon.
    pub async fn text(&self, testid: &str) -> Result<String> {
        until(&format!("text of `{testid}`"), SOON, async || {
            match self.shown(testid).await? {
                Some(element) => Ok(Some(call(element.text()).await?)),
                None => Ok(None),
            }
        })
        .await
    }

    /// The text of something, also where it is folded away or out of sight.
    ///
    /// # Errors
    /// It does not appear soon.
    pub async fn hidden_text(&self, testid: &str) -> Result<String> {
        until(&format!("text of `{testid}`"), SOON, async || {
            match self.all(testid).await?.first() {
                Some(element) => call(element.prop("textContent")).await,
                None => Ok(None),
            }
        })
        .await
    }

    /// An attribute of the first of that name, if both are there now.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn attribute(&self, testid: &str, name: &str) -> Result<Option<String>> {
        match self.all(testid).await?.first() {
            Some(element) => call(element.attr(name)).await,
            None => Ok(None),
        }
    }

    /// Waits until an attribute has the wanted value.
    ///
    /// # Errors
    /// It has another one when time is up; the error says which.
    pub async fn expect(
        &self,
        testid: &str,
        name: &str,
        wanted: &str,
        patience: Duration,
    ) -> Result<()> {
        until(
            &format!("`{testid}` with {name}={wanted}"),
            patience,
            async || match self.attribute(testid, name).await? {
                Some(value) if value == wanted => Ok(Some(())),
                other => bail!("{name} is {other:?}"),
            },
        )
        .await
    }

    /// Runs a script in the page; a promise is waited for.
    ///
    /// # Errors
    /// It throws.
    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        call(self.client.execute(script, arguments)).await
    }

    /// Gets a path of the panel with the page's session.
    ///
    /// # Errors
    /// The panel answers with another status than 200.
    pub async fn get(&self, path: &str) -> Result<String> {
        let script = "return fetch(arguments[0]).then(async r => [r.status, await r.text()])";
        let answer = self.script(script, vec![path.into()]).await?;
        ensure!(answer[0] == 200, "GET {path}: {answer}");
        Ok(answer[1].as_str().context("a text")?.to_owned())
    }

    /// Like [`Browser::get`], for JSON.
    ///
    /// # Errors
    /// Also when it is not JSON.
    pub async fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.get(path).await?).with_context(|| format!("GET {path}"))
    }

    /// What the browser has saved under this name, and takes the file away.
    ///
    /// # Errors
    /// It is not there soon.
    pub async fn saved(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.driver.downloads().join(name);
        // A file that is not whole yet has another name, and the browser keeps its own free with an empty one.
        let bytes = until(&format!("the saved file {name}"), SOON, async || {
            Ok(Some(std::fs::read(&file)?).filter(|bytes| !bytes.is_empty()))
        })
        .await?;
        std::fs::remove_file(&file)?;
        Ok(bytes)
    }

    /// Waits until the signed-in page stands: connected, and nothing of it is still on its way.
    ///
    /// # Errors
    /// It goes on loading.
    pub async fn settled(&self) -> Result<()> {
        let script = "return document.fonts.ready.then(() => \
             document.querySelector('[data-testid=link-state][data-state=live]') !== null && \
             document.querySelector('main h1') !== null && document.querySelector('.skeleton') === null)";
        until("the page has loaded", SOON, async || {
            let done = self.script(script, Vec::new()).await?;
            Ok((done == Value::Bool(true)).then_some(()))
        })
        .await
    }

    /// All text on the page.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn page_text(&self) -> Result<String> {
        let text = self
            .script("return document.body.innerText", Vec::new())
            .await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// What the page wrote to the console since it was asked last.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn console(&self) -> Result<Vec<Entry>> {
        let entries = call(self.client.issue_cmd(TakeEntries)).await?;
        Ok(serde_json::from_value(entries)?)
    }

    /// Fails if the page wrote an error or broke the content security policy since it was asked last.
    ///
    /// # Errors
    /// It did; all such entries are named.
    pub async fn no_faults(&self) -> Result<()> {
        let faults: Vec<_> = self
            .console()
            .await?
            .into_iter()
            .filter(Entry::is_fault)
            .collect();
        ensure!(faults.is_empty(), "the console has {faults:#?}");
        Ok(())
    }

    /// Takes a picture of the window into `<name>.png`.
    ///
    /// # Errors
    /// The browser does not answer or the file cannot be written.
    pub async fn shot(&self, name: &str) -> Result<()> {
        let picture = call(self.client.screenshot()).await?;
        let file = self.shots.join(format!("{name}.png"));
        std::fs::write(&file, picture).with_context(|| file.display().to_string())
    }

    async fn all(&self, testid: &str) -> Result<Vec<Element>> {
        call(
            self.client
                .find_all(Locator::Css(&format!("[data-testid=\"{testid}\"]"))),
        )
        .await
    }

    /// The first that is displayed.
    async fn shown(&self, testid: &str) -> Result<Option<Element>> {
        for element in self.all(testid).await? {
            if call(element.is_displayed()).await? {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }
}

/// A driver's answer, or an error when it hangs.
async fn call<T>(answer: impl Future<Output = Result<T, CmdError>>) -> Result<T> {
    Ok(timeout(CALL, answer)
        .await
        .context("chromedriver does not answer")??)
}
