use anyhow::Result;
use coxswain_e2e::{browser::Browser, environment::Environment, panel::Panel};
#[tokio::test]
async fn scratch() -> Result<()> {
    let environment = Environment::read()?;
    let panel = Panel::start(&environment).await?;
    let browser = Browser::start(environment.shots.clone()).await?;
    let r: Result<()> = async {
        browser.open(&panel.setup_link().await?).await?;
        browser.fill("field-name", "ada").await?;
        browser.fill("field-password", "lab password of ada").await?;
        browser.fill("field-repeat", "lab password of ada").await?;
        browser.click("setup-submit").await?;
        browser.see("nav-clusters").await?;
        for n in 0..12 {
            let t = std::time::Instant::now(); browser.open(&panel.url(["/hosts", "/settings", "/audit"][n % 3])).await?; eprintln!("open {:?}", t.elapsed());
            let settled = browser.settled().await;
            eprintln!("settled {:?}", t.elapsed()); let pid = panel.pid().unwrap();
            let out = std::process::Command::new("bash").arg("-c").arg(format!("ls -l /proc/{pid}/fd | grep -c socket")).output()?;
            eprintln!("{n}: {:?} sockets {}", settled.is_ok(), String::from_utf8_lossy(&out.stdout));
            if settled.is_err() { break; }
        }
        Ok(())
    }.await;
    browser.close().await?;
    r
}
