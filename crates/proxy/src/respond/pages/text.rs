//! Text from outside, made safe to show on a page. The templates escape it.

/// Text without control characters and without marks that change the writing direction, at most `chars` characters.
pub(crate) fn shown(text: &str, chars: usize) -> String {
    let visible = |letter: &char| {
        !matches!(letter,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        )
    };
    let mut letters =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).filter(visible);
    let mut shown: String = letters.by_ref().take(chars).collect();
    if letters.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// A reason as a sentence: a capital first, a full stop last.
pub(crate) fn sentence(reason: &str) -> String {
    let reason = reason.trim();
    let mut letters = reason.chars();
    let mut sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// Whether a reference is an `http` or `https` URL or a path of this host; `//` would be another host's.
pub(super) fn leads_somewhere(url: &str) -> bool {
    let rooted = url.starts_with('/') && !url.starts_with("//") && !url.starts_with("/\\");
    (rooted || url.starts_with("https://") || url.starts_with("http://"))
        && !url.chars().any(char::is_control)
}
