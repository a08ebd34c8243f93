//! Calls by tonic, without generated code: a message is bytes, whatever they mean.

use std::path::Path;

use anyhow::{Context as _, Result};
use prost::bytes::{Buf as _, BufMut as _};
use tonic::{
    Request, Response, Status,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming},
    transport::{Channel, Endpoint},
};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A channel to this port of loopback by the name that browsers use. It connects when it is first needed.
pub fn channel(port: u16) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://localhost:{port}"))?.connect_lazy())
}

/// A channel to a unix socket. It connects when it is first needed.
pub fn unix_channel(path: &Path) -> Result<Channel> {
    let path = path.to_str().context("a path that is no text")?;
    Ok(Endpoint::from_shared(format!("unix:{path}"))?.connect_lazy())
}

/// Makes a call with one message; its answer has one.
pub async fn unary<S>(
    channel: S,
    path: &str,
    call: Request<Vec<u8>>,
) -> Result<Response<Vec<u8>>, Status>
where
    S: GrpcService<tonic::body::Body>,
    S::Error: Into<Cause>,
    S::ResponseBody: Send + 'static,
    <S::ResponseBody as tonic::transport::Body>::Error: Into<Cause>,
    <S::ResponseBody as tonic::transport::Body>::Data: Into<prost::bytes::Bytes>,
{
    let path = path.parse().map_err(|_| Status::internal("no path"))?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    grpc.unary(call, path, Raw).await
}

/// Makes a call with one message; its answer is a stream of them.
pub async fn streaming(
    channel: Channel,
    path: &str,
    call: Request<Vec<u8>>,
) -> Result<Response<Streaming<Vec<u8>>>, Status> {
    let path = path.parse().map_err(|_| Status::internal("no path"))?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    grpc.server_streaming(call, path, Raw).await
}

/// Messages that are bytes.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
