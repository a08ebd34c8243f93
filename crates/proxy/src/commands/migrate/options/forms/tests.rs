use super::Options;

fn read(text: &str) -> Options {
    let mut options = Options::default();
    options.read(text).unwrap();
    options
}

#[test]
fn each_form_names_the_same_options() {
    for text in [
        "email_domains = [ \"a.example\", 'b.example' ] # ours\nreverse_proxy = true\nclient_secret=\"a#b\"",
        "email_domains = [\n  \"a.example\",\n  \"b.example\",\n]\nreverse_proxy=true\nclient_secret = '''a#b'''\n",
        "oauth2-proxy --email-domain=a.example \\\n  --email-domain b.example --reverse-proxy --client-secret 'a#b'",
        "oauth2-proxy --email-domain=a.example,b.example --reverse-proxy --client-secret 'a#b'",
        "args:\n  - --email-domain=a.example\n  - \"--email-domain=b.example\"\n  - --reverse-proxy=true\n  - --client-secret=a#b\n",
        "command: [sh, -c, \"exec oauth2-proxy --email-domain=a.example,b.example --reverse-proxy --client-secret='a#b'\"]\n",
        "[\"--email-domain=a.example\", \"--email-domain=b.example\", \"--reverse-proxy\", \"--client-secret=a#b\"]",
        "OAUTH2_PROXY_EMAIL_DOMAINS=a.example,b.example\nexport OAUTH2_PROXY_REVERSE_PROXY=\"true\"\nOAUTH2_PROXY_CLIENT_SECRET=a#b",
        "OAUTH2_PROXY_CLIENT_SECRET=a#b oauth2-proxy --email-domain=a.example --email-domain=b.example --reverse-proxy",
        "environment:\n  OAUTH2_PROXY_EMAIL_DOMAINS: a.example,b.example\n  OAUTH2_PROXY_REVERSE_PROXY: true\n  OAUTH2_PROXY_CLIENT_SECRET: a#b\n",
        "environment:\n  - OAUTH2_PROXY_EMAIL_DOMAINS=a.example,b.example\n  - OAUTH2_PROXY_REVERSE_PROXY=true\n  - OAUTH2_PROXY_CLIENT_SECRET=a#b\n",
        "env:\n  - name: OAUTH2_PROXY_EMAIL_DOMAINS\n    value: a.example,b.example\n  - name: OAUTH2_PROXY_REVERSE_PROXY\n    value: 'true'\n  - name: OAUTH2_PROXY_CLIENT_SECRET\n    value: a#b\n",
        "kind: ConfigMap\ndata:\n  oauth2_proxy.cfg: |\n    email_domains = [ \"a.example\", \"b.example\" ]\n    reverse_proxy = true\n    client_secret = \"a#b\"\n",
        "extraArgs:\n  email-domain: a.example,b.example\n  reverse-proxy: true\n  client-secret: a#b\n",
    ] {
        let mut options = read(text);
        assert_eq!(options.all("email_domains"), ["a.example", "b.example"], "{text}");
        assert!(options.is_on("reverse_proxy"), "{text}");
        assert_eq!(options.one("client_secret").as_deref(), Some("a#b"), "{text}");
        assert_eq!(options.rest().collect::<Vec<_>>(), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_flag_replaces_a_variable_and_a_variable_the_file() {
    let file = "email_domains = [\"*\"]\nprovider = \"oidc\"\nscope = \"openid\"";
    let variables = "OAUTH2_PROXY_EMAIL_DOMAINS=b.example\nOAUTH2_PROXY_PROVIDER=gitlab\nOAUTH2_PROXY_SCOPE=openid email";
    let flags = "--email-domain=c.example --upstream=http://a:1/";
    for order in [[file, variables, flags], [flags, variables, file]] {
        let mut options = Options::default();
        order.into_iter().for_each(|text| options.read(text).unwrap());
        assert_eq!(options.all("email_domains"), ["c.example"]);
        assert_eq!(options.one("provider").as_deref(), Some("gitlab"));
        assert_eq!(options.one("scope").as_deref(), Some("openid email"));
    }
}

#[test]
fn arguments_of_other_programs_are_not_read() {
    let mut options =
        read("containers:\n  - args: [--port=80, --log=debug]\n  - args: [--provider=oidc]\n");
    assert_eq!(options.one("provider").as_deref(), Some("oidc"));
    assert_eq!(options.rest().count(), 0);
    let two = "containers:\n  - args: [--provider=oidc]\n  - args: [--upstream=http://a]\n";
    let error = Options::default().read(two).unwrap_err().to_string();
    assert!(error.contains("two command lines"), "{error}");
}

#[test]
fn a_value_from_elsewhere_is_named() {
    let text = "env:\n  - name: OAUTH2_PROXY_ALLOWED_GROUPS\n    valueFrom: { configMapKeyRef: { name: a, key: b } }\n";
    let mut options = read(text);
    assert_eq!(options.all("allowed_groups"), ["replace-me.invalid"]);
    assert_eq!(options.elsewhere(), ["OAUTH2_PROXY_ALLOWED_GROUPS"]);
}

#[test]
fn a_line_that_is_no_setting_is_refused_without_quoting_it() {
    for text in ["client_secret s3cr3t", "a = \"s3cr3t\nb", "a = [ \"s3cr3t\"", "s3cr3t! = 1"] {
        let error = Options::default().read(text).unwrap_err().to_string();
        let said = error.contains("line 1 is no") || error.contains("is not closed");
        assert!(said && !error.contains("s3cr3t"), "{error}");
    }
}
