//! git, npm and R with an API key, each as its own manual has its user store a password.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use e2e::{World, tools};

use crate::{
    key_programs::Desk,
    programs::{Service, service},
};

const ROUTE: &str = "match: { path: / }\n  sign_in: challenge\n  basic: true";

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_pushes_with_an_api_key() -> Result<()> {
    let world = World::new("key-tools-git")?;
    let folder = world.folder().display().to_string();
    let script = tools::fixture("git_http.py").display().to_string();
    let git =
        service("git-http", &world, Path::new("python3"), &[&script, "PORT", &folder]).await?;
    let desk = Desk::new(world, ROUTE, &git.url).await?;
    // Without `http.receivepack` git takes a push only from the user that the gateway names.
    desk.works("git init -q --bare models.git").await?;
    let url = format!("{}/models.git", desk.world.public_url());
    let clone = |folder: &str| format!("GIT_TERMINAL_PROMPT=0 git clone -q {url} {folder}");
    desk.fails(&clone("refused"), "could not read Username").await?;
    // git asks the helper after the challenge of Basic, and has it erase a password that is refused.
    let store = |key: &str| {
        format!(
            "git config --global credential.helper store
            printf 'url={url}\\nusername=key\\npassword=%s\\n\\n' {key} | git credential approve"
        )
    };
    desk.works(&store("dw_wrong")).await?;
    desk.fails(&clone("refused"), "Authentication failed").await?;
    let stored = desk.world.folder().join("home/.git-credentials");
    ensure!(fs::read_to_string(&stored)?.is_empty(), "git keeps a refused key");
    desk.works(&store("\"$DOORWARD_KEY\"")).await?;
    let name = "git -C work -c user.name=ci -c user.email=ci@example.test";
    desk.works(&format!(
        "{clone}
        head -c 3000000 /dev/urandom > work/weights
        git -C work add weights && {name} commit -qm first && git -C work push -q origin HEAD:main
        git --git-dir models.git symbolic-ref HEAD refs/heads/main
        {again}
        cmp work/weights again/weights",
        clone = clone("work"),
        again = clone("again"),
    ))
    .await?;
    let lines = desk.gateway.audit()?;
    ensure!(
        lines.iter().any(|line| line["method"] == "POST"
            && line["status"] == 200
            && line["client"] == "ci"
            && line["via"] == "api_key"),
        "no line of the push names the client of the key"
    );
    desk.revoke()?;
    desk.fails("git -C again pull -q", "Authentication failed").await?;
    desk.finish()
}

/// Static files of the world's folder.
async fn files(world: &World) -> Result<Service> {
    let arguments = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", "files", "PORT"];
    fs::create_dir(world.folder().join("files"))?;
    service("files", world, Path::new("python3"), &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_installs_with_an_api_key() -> Result<()> {
    let world = World::new("key-tools-npm")?;
    let files = files(&world).await?;
    let desk = Desk::new(world, ROUTE, &files.url).await?;
    let public = desk.world.public_url();
    desk.works(&format!(
        "mkdir -p churn/package files/tarballs && cd churn
        echo '{{ \"name\": \"churn\", \"version\": \"1.0.0\", \"main\": \"index.js\" }}' > package/package.json
        echo 'module.exports = 42' > package/index.js
        tar -czf ../files/tarballs/churn-1.0.0.tgz package
        sum=sha512-$(openssl dgst -sha512 -binary ../files/tarballs/churn-1.0.0.tgz | base64 -w0)
        cat > ../files/churn <<END
        {{ \"name\": \"churn\", \"dist-tags\": {{ \"latest\": \"1.0.0\" }}, \"versions\": {{ \"1.0.0\": {{
          \"name\": \"churn\", \"version\": \"1.0.0\",
          \"dist\": {{ \"integrity\": \"$sum\", \"tarball\": \"{public}/tarballs/churn-1.0.0.tgz\" }} }} }} }}
END"
    ))
    .await?;
    let host = public.strip_prefix("http:").unwrap_or(&public).to_owned();
    let install = "rm -rf app && mkdir app && cd app && echo '{}' > package.json \
                   && npm install --no-audit --no-fund --fetch-retries 0 churn";
    let npmrc = |lines: &str| format!("printf '%s\\n' registry={public}/ {lines} > $HOME/.npmrc");
    desk.fails(&format!("{}; {install}", npmrc("")), "E401").await?;
    desk.fails(&format!("{}; {install}", npmrc(&format!("'{host}/:_authToken=dw_wrong'"))), "E401")
        .await?;
    // As a bearer token, and as the password of Basic.
    for line in [
        format!("'{host}/:_authToken=${{DOORWARD_KEY}}'"),
        format!("\"{host}/:_auth=$(printf 'key:%s' \"$DOORWARD_KEY\" | base64 -w0)\""),
    ] {
        desk.works(&format!(
            "{}; ({install}); test \"$(cd app && node -p 'require(\"churn\")')\" = 42; npm cache clean --force",
            npmrc(&line)
        ))
        .await?;
    }
    desk.revoke()?;
    desk.fails(install, "E401").await?;
    desk.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn r_installs_with_an_api_key() -> Result<()> {
    let world = World::new("key-tools-r")?;
    let files = files(&world).await?;
    let desk = Desk::new(world, ROUTE, &files.url).await?;
    desk.works(
        "mkdir -p churn files/cran/src/contrib library
        printf '%s\\n' 'Package: churn' 'Version: 1.0' 'Title: Churn' 'Description: Churn.' \
          'Author: Lab' 'Maintainer: Lab <lab@example.test>' 'License: MIT' > churn/DESCRIPTION
        echo 'export(answer)' > churn/NAMESPACE
        mkdir churn/R && echo 'answer <- function() 42' > churn/R/answer.R
        R CMD build --no-build-vignettes churn >/dev/null
        mv churn_1.0.tar.gz files/cran/src/contrib/
        Rscript -e 'tools::write_PACKAGES(\"files/cran/src/contrib\", type = \"source\")'",
    )
    .await?;
    let install = |repository: &str| {
        format!(
            "Rscript -e 'options(warn = 2); options(repos = c(lab = {repository})); \
             install.packages(\"churn\", lib = \"library\", quiet = TRUE)' \
             && Rscript -e 'stopifnot(churn::answer() == 42)'"
        )
    };
    let plain = format!("\"{}/cran\"", desk.world.public_url());
    let with = |key: &str| {
        let url = desk.world.public_url().replace("http://", "http://key:%s@");
        format!("sprintf(\"{url}/cran\", {key})")
    };
    desk.fails(&install(&plain), "").await?;
    desk.fails(&install(&with("\"dw_wrong\"")), "").await?;
    let library = "export R_LIBS=library;";
    desk.works(&format!("{library} {}", install(&with("Sys.getenv(\"DOORWARD_KEY\")")))).await?;
    desk.revoke()?;
    desk.fails(
        &format!("rm -rf library/churn; {}", install(&with("Sys.getenv(\"DOORWARD_KEY\")"))),
        "",
    )
    .await?;
    desk.finish()
}
