//! The page of the services that a user may open.

use askama::Template;
use axum::body::Body;
use http::{Response, StatusCode};

use super::{Frame, NAME, html, shown, text::leads_somewhere};
use crate::{config::Icon, respond::AnswerContext};

/// Number of services from which on the page has a filter.
const MANY: usize = 9;

/// The services a user may open.
#[derive(Debug, Clone)]
pub struct Portal {
    /// The signed-in user.
    pub who: String,
    /// The services the user may open.
    pub services: Vec<Service>,
    /// Text by which the user filters the services.
    pub filter: Option<String>,
    /// The token for the sign-out button; without one the button leads to [`SignOutConfirm`](super::SignOutConfirm).
    pub csrf: Option<String>,
}

/// A service on the portal.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Display name of the service.
    pub title: String,
    /// Address as shown: host and path.
    pub address: String,
    /// Target of its link: an `http`, `https` or rooted path reference; nothing else becomes a link.
    pub url: String,
    /// Heading among whose cards it stands.
    pub group: Option<String>,
    /// Place among the cards: lower first, then by title.
    pub order: i32,
    /// Picture on the card.
    pub icon: Option<Icon>,
}

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalPage {
    frame: Frame,
    who: String,
    csrf: Option<String>,
    /// Contents of the filter's field, if the page has one.
    filter: Option<String>,
    nothing: bool,
    api_keys: bool,
    groups: Vec<Group>,
}

/// Cards under one heading.
struct Group {
    heading: Option<String>,
    cards: Vec<Card>,
}

struct Card {
    title: String,
    initial: String,
    icon: Option<&'static str>,
    address: String,
    url: Option<String>,
}

impl Portal {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let filter = self.filter.filter(|text| !text.trim().is_empty());
        let has_filter = filter.is_some() || self.services.len() >= MANY;
        let nothing = self.services.is_empty();
        let wanted = filter.as_deref().unwrap_or_default().trim().to_lowercase();
        let shows = |service: &Service| {
            [&service.title, &service.address]
                .into_iter()
                .chain(&service.group)
                .any(|text| text.to_lowercase().contains(&wanted))
        };
        let page = PortalPage {
            frame: Frame::of(context),
            who: shown(&self.who, NAME),
            csrf: self.csrf,
            filter: has_filter.then(|| shown(filter.as_deref().unwrap_or_default(), NAME)),
            nothing,
            api_keys: context.site.has_api_keys(),
            groups: groups(self.services.into_iter().filter(shows).collect()),
        };
        html(&page, status, context.site.form_targets(), context)
    }
}

/// The services under their headings: those without one first, then by the lowest place in the group. Letter case does not matter.
fn groups(mut services: Vec<Service>) -> Vec<Group> {
    services.sort_by_cached_key(|service| (service.order, service.title.to_lowercase()));
    let mut groups: Vec<Group> = Vec::new();
    for service in services {
        let heading = service.group.as_deref().map(|group| shown(group, NAME));
        let card = Card::of(service);
        match groups.iter_mut().find(|group| group.heading == heading) {
            Some(group) => group.cards.push(card),
            None => groups.push(Group { heading, cards: vec![card] }),
        }
    }
    groups.sort_by_key(|group| group.heading.is_some());
    groups
}

impl Card {
    fn of(service: Service) -> Self {
        let title = shown(&service.title, NAME);
        let initial = title.chars().find(|letter| letter.is_alphanumeric());
        Self {
            initial: initial.into_iter().flat_map(char::to_uppercase).collect(),
            icon: service.icon.map(lines),
            title,
            address: shown(&service.address, NAME),
            url: leads_somewhere(&service.url).then_some(service.url),
        }
    }
}

/// The lines of a picture, as the path of an SVG of 24 by 24.
fn lines(icon: Icon) -> &'static str {
    match icon {
        Icon::Chart => "M2 20h20M5 20v-6M10 20V4M15 20V9M20 20v-9",
        Icon::Notebook => "M6 3h14v18H6zM3 7h3M3 12h3M3 17h3M11 8h5",
        Icon::Database => "M4 6c0-4 16-4 16 0s-16 4-16 0v12c0 4 16 4 16 0V6M4 12c0 4 16 4 16 0",
        Icon::Flow => "M3 4h7v6H3zM14 14h7v6h-7zM6 10v7h8",
        Icon::Model => "M12 3l8 4v10l-8 4-8-4V7zM12 12l8-5M12 12v9M12 12L4 7",
        Icon::Box => "M3 8h18v12H3zM3 8l3-4h12l3 4M9 12h6",
        Icon::Code => "M8 7l-5 5 5 5M16 7l5 5-5 5M14 4l-4 16",
        Icon::Terminal => "M3 4h18v16H3zM7 9l3 3-3 3M13 15h4",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(title: &str, group: Option<&str>, order: i32) -> Service {
        Service {
            title: title.to_owned(),
            group: group.map(str::to_owned),
            order,
            ..Service::default()
        }
    }

    #[test]
    fn cards_are_sorted_by_place_then_title_without_case() {
        let services = vec![
            service("zeta", None, 0),
            service("Alpha", None, 0),
            service("beta", None, 0),
            service("Scoring", Some("Models"), 20),
            service("churn", Some("Models"), 10),
            service("airflow", Some("Jobs"), 5),
            service("last", None, 99),
        ];
        let shown: Vec<(Option<String>, Vec<String>)> = groups(services)
            .into_iter()
            .map(|group| (group.heading, group.cards.into_iter().map(|card| card.title).collect()))
            .collect();
        let of = |heading: Option<&str>, titles: &[&str]| {
            let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
            (heading.map(str::to_owned), titles)
        };
        assert_eq!(
            shown,
            [
                of(None, &["Alpha", "beta", "zeta", "last"]),
                of(Some("Jobs"), &["airflow"]),
                of(Some("Models"), &["churn", "Scoring"]),
            ]
        );
    }
}
