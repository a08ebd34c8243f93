//! Tokens from a seeded generator: valid ones, and ones that are wrong in up to three ways.
//!
//! ID tokens differ from access tokens in their claims and in some of the ways to be wrong: [`id`].

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as B64};
use oidc_core::testing::TestKey;
use oidc_core::token::Algorithm;
use serde_json::{Value, json};

mod id;

pub(crate) use id::{ACCESS_TOKEN, CODE, MAX_AGE, NONCE, id_token};

pub(crate) const ISSUER: &str = "https://issuer.test/realms/lab";
pub(crate) const AUDIENCE: &str = "hub";

/// SplitMix64: the same tokens on every machine and in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// A token before it is signed: members as raw JSON, so that they can be repeated or malformed.
struct Draft<'k> {
    /// The keys of the issuer.
    keys: &'k [TestKey],
    key: &'k TestKey,
    now: u64,
    /// The algorithm of the signature, whatever the header says.
    signed_with: Algorithm,
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    /// Replaces the claims as a whole.
    payload: Option<Vec<u8>>,
    /// Changes to the finished token.
    after: Vec<fn(&mut Dice, &mut String)>,
    spaced: bool,
}

fn members(value: &Value) -> Vec<(String, String)> {
    value.as_object().unwrap().iter().map(|(n, v)| (n.clone(), v.to_string())).collect()
}

fn set(members: &mut Vec<(String, String)>, name: &str, value: impl ToString) {
    members.retain(|(other, _)| other != name);
    members.push((name.to_owned(), value.to_string()));
}

fn remove(members: &mut Vec<(String, String)>, name: &str) {
    members.retain(|(other, _)| other != name);
}

fn render(members: &[(String, String)], spaced: bool) -> String {
    let (open, colon, comma, close) =
        if spaced { ("\r\n { ", " :\t", "\n , ", " } \n") } else { ("{", ":", ",", "}") };
    // A name that begins with a quotation mark is written unchanged: it has its own escapes.
    let name = |name: &str| {
        if name.starts_with('"') { name.to_owned() } else { json!(name).to_string() }
    };
    let body: Vec<_> = members.iter().map(|(n, v)| format!("{}{colon}{v}", name(n))).collect();
    format!("{open}{}{close}", body.join(comma))
}

/// A way to be wrong.
type Mistake = fn(&mut Dice, &mut Draft<'_>);

/// One access token; most are wrong in some way.
pub(crate) fn access_token(dice: &mut Dice, keys: &[TestKey], now: u64) -> String {
    let key = signing_key(dice, keys);
    let typ = dice.one(&["at+jwt", "JWT"]);
    let header = json!({"alg": key.algorithm(), "typ": typ, "kid": key.id()});
    let claims = json!({
        "iss": ISSUER, "sub": "248289761001", "aud": AUDIENCE, "exp": now + 300, "iat": now,
        "jti": format!("{:x}", dice.next()), "typ": "Bearer", "azp": "gateway",
        "scope": "openid", "name": "Zoë 𝕏 \u{0}\"\\",
        "realm_access": {"roles": ["data-scientist"]},
    });
    let mistakes: [Mistake; 10] = [
        header_member,
        algorithm,
        time,
        time,
        audience_or_issuer,
        claim_of_any_type,
        kind,
        twice,
        payload,
        form,
    ];
    Draft::new(dice, (keys, key), now, &header, &claims).spoiled(dice, &mistakes)
}

/// RSA and P-384 are slow to sign with.
fn signing_key<'k>(dice: &mut Dice, keys: &'k [TestKey]) -> &'k TestKey {
    &keys[match dice.below(24) {
        slow @ (0 | 1 | 3) => slow,
        n if n % 2 == 0 => 2,
        _ => 4,
    }]
}

impl<'k> Draft<'k> {
    fn new(
        dice: &mut Dice,
        (keys, key): (&'k [TestKey], &'k TestKey),
        now: u64,
        header: &Value,
        claims: &Value,
    ) -> Self {
        Self {
            keys,
            key,
            now,
            signed_with: key.algorithm(),
            header: members(header),
            claims: members(claims),
            payload: None,
            after: Vec::new(),
            spaced: dice.below(8) == 0,
        }
    }

    /// The token, wrong in up to three of these ways.
    fn spoiled(mut self, dice: &mut Dice, mistakes: &[Mistake]) -> String {
        for _ in 0..dice.one(&[0, 1, 1, 1, 2, 3]) {
            dice.one(mistakes)(dice, &mut self);
        }
        let header = render(&self.header, self.spaced && dice.below(2) == 0);
        let payload =
            self.payload.unwrap_or_else(|| render(&self.claims, self.spaced).into_bytes());
        let message = format!("{}.{}", B64.encode(header), B64.encode(payload));
        let signature = self.key.sign(self.signed_with, message.as_bytes());
        let mut token = format!("{message}.{}", B64.encode(signature));
        for change in self.after {
            change(dice, &mut token);
        }
        token
    }
}

fn header_member(dice: &mut Dice, draft: &mut Draft<'_>) {
    let (header, keys) = (&mut draft.header, draft.keys);
    match dice.below(16) {
        0 => remove(header, "kid"),
        1 => set(header, "kid", json!(keys[dice.below(keys.len())].id())),
        2 => set(header, "kid", dice.one(&[json!("unheard-of"), json!(""), json!(1), json!(null)])),
        3 => set(header, "crit", dice.one(&[json!(["exp"]), json!([]), json!(["b64"])])),
        4 => set(header, "jwk", keys[dice.below(keys.len())].jwk()),
        5 => set(header, "jku", json!("https://evil.test/jwks")),
        6 => set(header, "x5u", json!("https://evil.test/x5u")),
        7 => set(header, "x5c", dice.one(&[json!(["MIIB"]), json!([])])),
        8 => set(header, "b64", dice.one(&[json!(true), json!(false)])),
        9 => set(header, "zip", json!("DEF")),
        10 => set(header, "enc", json!("A256GCM")),
        11 => set(header, "cty", dice.one(&[json!("JWT"), json!(1)])),
        12 => set(header, "x5t", json!("dGh1bWI")),
        13 => set(header, "iss", json!(ISSUER)),
        14 => set(header, "nonce", json!("abc")),
        _ => set(header, "https://example.org/own", json!({"any": [1, null]})),
    }
}

fn algorithm(dice: &mut Dice, draft: &mut Draft<'_>) {
    let names = [
        "none", "None", "HS256", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
        "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "ES256K", "rs256", "RSA-OAEP", "",
    ];
    match dice.below(4) {
        0 => set(&mut draft.header, "alg", dice.one(&[json!(1), json!(null), json!(["RS256"])])),
        1 => remove(&mut draft.header, "alg"),
        n => {
            let name = dice.one(&names);
            set(&mut draft.header, "alg", json!(name));
            // Signed with the named algorithm, as far as the key can.
            if n == 2
                && let Ok(algorithm) = name.parse()
            {
                draft.signed_with = algorithm;
            }
        }
    }
}

/// No time is nearer than 15 s to the limit of the 30 s leeway, because the two verifiers read the
/// clock one after the other.
fn time(dice: &mut Dice, draft: &mut Draft<'_>) {
    let claim = dice.one(&["exp", "exp", "nbf", "nbf", "iat", "auth_time"]);
    let now = i64::try_from(draft.now).unwrap();
    let time = now + dice.one(&[-100_000, -600, -45, -15, 15, 45, 600, 100_000]);
    let value = match dice.below(14) {
        0 => format!("{time}.5"),
        1 => format!("{time}.0"),
        2 => format!("\"{time}\""),
        3 => format!("-{time}"),
        4 => "0".to_owned(),
        5 => dice.one(&["1e300", "253402300800", "18446744073709551616", "9e11"]).to_owned(),
        6 => dice.one(&["null", "true", "[]", "{}", "\"\""]).to_owned(),
        7 => return remove(&mut draft.claims, claim),
        _ => time.to_string(),
    };
    set(&mut draft.claims, claim, value);
}

fn audience_or_issuer(dice: &mut Dice, draft: &mut Draft<'_>) {
    let claims = &mut draft.claims;
    let audience = [
        json!(["account", AUDIENCE]),
        json!([AUDIENCE]),
        json!([AUDIENCE, AUDIENCE]),
        json!("account"),
        json!(["account"]),
        json!([]),
        json!(""),
        json!("HUB"),
        json!("hub "),
        json!("hu"),
        json!("hub2"),
        json!([[AUDIENCE]]),
        json!([AUDIENCE, 1]),
        json!([1]),
        json!({"hub": 1}),
        json!(1),
        json!(null),
        json!("\u{ff48}ub"),
        json!("hub\u{0}"),
    ];
    let issuer = [
        json!(format!("{ISSUER}/")),
        json!("https://evil.test"),
        json!("HTTPS://issuer.test/realms/lab"),
        json!([ISSUER]),
        json!([ISSUER, "https://evil.test"]),
        json!([]),
        json!(""),
        json!(null),
        json!(1),
        json!({}),
        json!("https://issuer.test/realms/l\u{430}b"),
    ];
    match dice.below(5) {
        0 => remove(claims, dice.one(&["aud", "iss", "sub"])),
        1 | 2 => set(claims, "aud", dice.one(&audience)),
        3 => set(claims, "iss", dice.one(&issuer)),
        _ => set(claims, "\"\\u0061ud\"", dice.one(&audience)),
    }
}

fn claim_of_any_type(dice: &mut Dice, draft: &mut Draft<'_>) {
    let names = ["sub", "azp", "client_id", "sid", "nonce", "acr", "jti", "scope", "typ", "name"];
    let values = [
        json!(null),
        json!(1),
        json!(true),
        json!("x"),
        json!(""),
        json!("  "),
        json!([]),
        json!(["x"]),
        json!({"a": 1}),
    ];
    set(&mut draft.claims, dice.one(&names), dice.one(&values));
}

fn kind(dice: &mut Dice, draft: &mut Draft<'_>) {
    match dice.below(4) {
        0 => remove(&mut draft.header, "typ"),
        1 => {
            let typ = dice.one(&["jwt", "application/at+jwt", "dpop+jwt", "logout+jwt", ""]);
            set(&mut draft.header, "typ", json!(typ));
        }
        2 => set(&mut draft.header, "typ", dice.one(&[json!(1), json!(null)])),
        _ => match dice.one(&["ID", "Refresh", "Offline", "Logout", "bearer", "-", "cnf"]) {
            "-" => remove(&mut draft.claims, "typ"),
            "cnf" => set(&mut draft.claims, "cnf", json!({"jkt": "0ZcOCORZNYy"})),
            typ => set(&mut draft.claims, "typ", json!(typ)),
        },
    }
}

fn twice(dice: &mut Dice, draft: &mut Draft<'_>) {
    let claims = &mut draft.claims;
    match dice.below(6) {
        0 => claims.push(("aud".to_owned(), json!("account").to_string())),
        1 => claims.push((dice.one(&["iss", "exp", "nbf"]).to_owned(), "1".to_owned())),
        2 => claims.insert(0, ("name".to_owned(), "1".to_owned())),
        3 => claims.push(("own".to_owned(), r#"{"a":[{"b":1,"b":2}]}"#.to_owned())),
        4 => claims.push(("\"\\u0061zp\"".to_owned(), json!("other").to_string())),
        _ => {
            let member = dice.one(&["kid", "alg", "typ", "own"]);
            set(&mut draft.header, "own", json!(1));
            let again = draft.header.iter().find(|(name, _)| name == member).cloned();
            draft.header.extend(again);
        }
    }
}

fn payload(dice: &mut Dice, draft: &mut Draft<'_>) {
    let text = render(&draft.claims, draft.spaced);
    let inside = text.trim().trim_end_matches('}').to_owned();
    let nested = |n: usize| format!("{inside},\"own\":{}{}}}", "[".repeat(n), "]".repeat(n));
    draft.payload = Some(match dice.below(14) {
        0 => nested(dice.one(&[10, 31, 32, 60])).into_bytes(),
        1 => format!("{inside},\"own\":\"{}\"}}", "x".repeat(dice.one(&[2_000, 14_000, 60_000])))
            .into_bytes(),
        2 => format!("{text}{}", dice.one(&["x", "{}", "\u{0}", ","])).into_bytes(),
        3 => format!("\u{feff}{text}").into_bytes(),
        4 => [inside.as_bytes(), b",\"own\":\"\xff\"}"].concat(),
        5 => format!("{inside},\"own\":{}}}", dice.one(&["NaN", "01", "1e999", "'x'", ""]))
            .into_bytes(),
        6 => {
            format!("{inside},\"own\":\"{}\"}}", dice.one(&["\\ud800", "\\u0000", "\\x41", "a\nb"]))
                .into_bytes()
        }
        7 => format!("{inside},}}").into_bytes(),
        8 => format!("[{text}]").into_bytes(),
        9 => dice.one(&["", "null", "\"x\"", "1", "{}", "{", "[]"]).as_bytes().to_vec(),
        10 => format!("{inside},\"\":1,\"own\":-0.0,\"big\":123456789012345678901234567890}}")
            .into_bytes(),
        _ => format!(" \n\t{text}\r\n ").into_bytes(),
    });
}

fn form(dice: &mut Dice, draft: &mut Draft<'_>) {
    let changes: [fn(&mut Dice, &mut String); 12] = [
        // Flips a bit of any part.
        |dice, token| {
            let at = dice.below(token.len());
            let other = dice.one(&["A", "B", "_", "-", "7", "z"]);
            token.replace_range(at..=at, other);
        },
        |dice, token| {
            let keep = token.len() - 1 - dice.below(8);
            token.truncate(keep);
        },
        |_, token| token.truncate(token.rfind('.').unwrap() + 1),
        |_, token| token.truncate(token.rfind('.').unwrap()),
        |dice, token| token.push_str(dice.one(&["=", "==", "A", "AAAA", ".", ".AAAA", " ", "\n"])),
        |dice, token| token.insert_str(0, dice.one(&[" ", "Bearer ", ".", "\u{feff}"])),
        |dice, token| {
            let at = dice.below(token.len());
            token.insert_str(at, dice.one(&[" ", "\n", "=", ".", "+", "/", "%", "é"]));
        },
        // The same bytes in another alphabet, or padded.
        |_, token| *token = token.replace('-', "+").replace('_', "/"),
        |_, token| recode(token, &URL_SAFE),
        |_, token| recode(token, &STANDARD),
        // A signature of zero bytes, as long as a valid one.
        |_, token| {
            let at = token.rfind('.').unwrap() + 1;
            let noughts = "A".repeat(token.len() - at);
            token.replace_range(at.., &noughts);
        },
        |_, token| *token = token.to_ascii_uppercase(),
    ];
    draft.after.push(changes[dice.below(changes.len())]);
}

fn recode(token: &mut String, engine: &impl base64::Engine) {
    let parts: Option<Vec<String>> =
        token.split('.').map(|part| Some(engine.encode(B64.decode(part).ok()?))).collect();
    if let Some(parts) = parts {
        *token = parts.join(".");
    }
}
