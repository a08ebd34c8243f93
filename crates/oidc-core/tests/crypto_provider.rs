//! The rustls provider is the program's choice. A process of its own, since the choice is the process's.

use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp, install_crypto_provider};
use rustls::crypto::CryptoProvider;

#[test]
fn a_client_chooses_no_provider_for_the_process() {
    ReqwestHttp::new(HttpOptions::default()).unwrap();
    assert!(CryptoProvider::get_default().is_none());
    install_crypto_provider();
    assert!(CryptoProvider::get_default().is_some());
    ReqwestHttp::new(HttpOptions::default()).unwrap();
}
