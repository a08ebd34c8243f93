//! The presets of Doorward: one file each, in the order of their names.

use crate::config::problem::nearest;

/// A preset of Doorward, as its file says.
#[derive(Debug)]
pub struct KnownPreset {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

/// Embeds files of the folder `presets`.
macro_rules! embedded {
    ($($name:literal)*) => {
        &[$(KnownPreset {
            name: $name,
            text: include_str!(concat!("../../../presets/", $name, ".yaml")),
        }),*]
    };
}

impl KnownPreset {
    /// All of them.
    pub const ALL: &'static [Self] = embedded! {
        "airflow"
        "argo-workflows"
        "code-server"
        "dash"
        "dask"
        "fastapi"
        "generic"
        "gitlab"
        "gradio"
        "grafana"
        "harbor"
        "jupyterhub"
        "jupyterlab"
        "luigi"
        "marimo"
        "mlflow"
        "nexus"
        "package_index"
        "panel"
        "posit-connect"
        "prometheus"
        "pypi"
        "ray"
        "registry"
        "rstudio"
        "shiny"
        "shiny-server"
        "streamlit"
        "superset"
        "tensorboard"
    };

    /// The preset of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|known| known.name == name)
    }

    /// The name that was most probably meant, if any is near enough.
    #[must_use]
    pub fn nearest(written: &str) -> Option<&'static str> {
        nearest(written, Self::names())
    }

    /// All names, in order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|known| known.name)
    }

    /// The keys of a route that the preset sets, as its file writes them, with the reasons; empty without any.
    #[must_use]
    pub fn route_text(&self) -> String {
        self.section("route:")
    }

    /// The rules that the preset offers, as its file writes them, with the reasons; empty without any.
    #[must_use]
    pub fn access_text(&self) -> String {
        self.section("access:")
    }

    /// The lines below a key of the file, without their indent.
    fn section(&self, key: &str) -> String {
        let below = self.text.lines().skip_while(|line| *line != key).skip(1);
        let lines = below.map_while(|line| line.strip_prefix("  "));
        lines.flat_map(|line| [line, "\n"]).collect()
    }
}
