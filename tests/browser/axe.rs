//! axe-core, which tells what keeps people from using a page. It is brought by npm into the build's
//! own folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use chrome::Tab;
use sha2::{Digest, Sha256};

const VERSION: &str = "4.14.1";

/// Of `axe.min.js` in that release.
const SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

fn source() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let kept = place.join(format!("axe-core-{VERSION}.js"));
        if let Ok(source) = fs::read_to_string(&kept)
            && is_right(&source)
        {
            return source;
        }
        let source = bring(place);
        assert!(is_right(&source), "axe-core {VERSION} is not what it was");
        fs::write(&kept, &source).unwrap();
        source
    })
}

fn is_right(source: &str) -> bool {
    let digest = Sha256::digest(source.as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digest == SHA256
}

fn bring(place: &Path) -> String {
    let package = format!("axe-core@{VERSION}");
    let packed = run(Command::new("npm")
        .args(["pack", "--silent", &package])
        .current_dir(place));
    let archive: PathBuf = place.join(packed.trim());
    let source = run(Command::new("tar")
        .args(["-xzOf"])
        .arg(&archive)
        .arg("package/axe.min.js"));
    fs::remove_file(archive).unwrap();
    source
}

fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.expect("this test needs npm; `.ci/test` installs it");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Nothing on the page keeps anybody from using it, as far as a program can tell.
pub(crate) async fn check(tab: &Tab, what: &str) {
    if !tab.js::<bool>("'axe' in window").await {
        let loads = format!("{}; true", source());
        assert!(tab.js::<bool>(&loads).await);
    }
    let run = "axe.run(document, { resultTypes: ['violations'] }).then((found) => \
               found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html + ' ' + \
               node.failureSummary).join(' | ')}`))";
    let violations: Vec<String> = tab.js(run).await;
    assert!(violations.is_empty(), "{what}: {violations:#?}");
}
