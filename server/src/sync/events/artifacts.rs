//! Events of artifacts (5.7). Their bytes travel as base64.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Event;
use crate::sync::artifacts::{self, Artifact, ArtifactWrite, NewArtifact, PartWrite};
use crate::sync::change::Change;
use crate::sync::error::SyncError;
use crate::sync::{binary, limits};

/// The acknowledgement that shows an artifact.
pub fn shown(artifact: &Artifact) -> String {
    let head = &artifact.head;
    let shown = json!({
        "result": "success",
        "artifact": {
            "id": head.id, "header": head.header, "headerVersion": head.header_version,
            "body": artifact.body, "bodyVersion": artifact.body_version, "seq": head.seq,
            "createdAt": head.created_at, "updatedAt": head.updated_at,
        },
    });
    shown.to_string()
}

/// Bytes of a field that must hold some.
fn filled(name: &str, text: &str) -> Result<Vec<u8>, SyncError> {
    let bytes = binary::decode(name, text)?;
    if bytes.is_empty() {
        return Err(SyncError::Invalid(format!("{name} must not be empty")));
    }
    Ok(bytes)
}

/// `artifact-create`.
pub async fn create(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        id: String,
        header: String,
        body: String,
        data_encryption_key: String,
    }

    let data: Data = event.read()?;
    limits::artifact_id(&data.id)?;
    let new = NewArtifact {
        header: filled("header", &data.header)?,
        body: filled("body", &data.body)?,
        data_encryption_key: filled("dataEncryptionKey", &data.data_encryption_key)?,
        id: data.id,
    };
    Ok(shown(&artifacts::create(change, new).await?))
}

/// `artifact-update`.
pub async fn update(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Part {
        data: String,
        expected_version: i64,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        artifact_id: String,
        #[serde(default)]
        header: Option<Part>,
        #[serde(default)]
        body: Option<Part>,
    }

    let data: Data = event.read()?;
    limits::artifact_id(&data.artifact_id)?;
    if data.header.is_none() && data.body.is_none() {
        let text = "nothing to change: give a header, a body, or both";
        return Err(SyncError::Invalid(text.to_owned()));
    }
    let write = |name: &str, part: &Option<Part>| -> Result<Option<PartWrite>, SyncError> {
        let Some(part) = part else { return Ok(None) };
        Ok(Some(PartWrite {
            bytes: filled(name, &part.data)?,
            expected: part.expected_version,
        }))
    };
    let (header, body) = (write("header", &data.header)?, write("body", &data.body)?);
    let text = |part: &Option<PartWrite>| part.as_ref().map(|part| binary::encode(&part.bytes));
    let (header_text, body_text) = (text(&header), text(&body));
    let mut ack = Map::new();
    match artifacts::write(change, &data.artifact_id, header, body).await? {
        ArtifactWrite::Written { header, body } => {
            ack.insert("result".to_owned(), Value::from("success"));
            for (name, version, data) in
                [("header", header, header_text), ("body", body, body_text)]
            {
                if let (Some(version), Some(data)) = (version, data) {
                    let part = json!({ "version": version, "data": data });
                    ack.insert(name.to_owned(), part);
                }
            }
        }
        ArtifactWrite::Mismatch { header, body } => {
            ack.insert("result".to_owned(), Value::from("version-mismatch"));
            for (name, part) in [("header", header), ("body", body)] {
                if let Some((version, data)) = part {
                    let part = json!({ "currentVersion": version, "currentData": data });
                    ack.insert(name.to_owned(), part);
                }
            }
        }
    }
    Ok(Value::Object(ack).to_string())
}

/// `artifact-delete`.
pub async fn delete(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        artifact_id: String,
    }

    let data: Data = event.read()?;
    limits::artifact_id(&data.artifact_id)?;
    artifacts::delete(change, &data.artifact_id).await?;
    Ok(json!({ "result": "success" }).to_string())
}
