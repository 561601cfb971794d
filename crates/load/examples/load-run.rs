//! A run by itself, for measurements: `load-run SCENARIO URL [THREADS]` prints its report as JSON.

use std::{error::Error, io::Write as _, path::Path, sync::Arc};

use load::run::{Settings, read, run};
use model::Timestamp;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (scenario, url, threads) = match &*arguments {
        [scenario, url] => (scenario, url, 1),
        [scenario, url, threads] => (scenario, url, threads.parse()?),
        _ => return Err("give SCENARIO URL [THREADS]".into()),
    };
    let (scenario, target) = read(Path::new(scenario), Some(url))?;
    let settings = Settings { target, threads, now: Timestamp::from_unix(0), stop: Arc::default() };
    let done = run(scenario, &settings, |_| {})?;
    serde_json::to_writer(std::io::stdout(), &done.report)?;
    writeln!(std::io::stdout())?;
    Ok(())
}
