//! What the server counts: its `/metrics`, read by name and labels.

use std::time::Duration;

use crate::failure::Failure;
use crate::target::Target;
use crate::token::Token;
use crate::trial::broken;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A scrape.
#[derive(Clone, Debug, Default)]
pub struct Page(Vec<(String, f64)>);

impl Page {
    /// Reads a page of the Prometheus text format.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sum of all series of this name that have these labels, as in `name{code="idle"}`.
    pub fn sum(&self, selector: &str) -> f64 {
        let (name, labels) = selector.split_once('{').unwrap_or((selector, ""));
        let labels: Vec<&str> = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty())
            .collect();
        let fits = |series: &str| {
            let (its_name, its_labels) = series.split_once('{').unwrap_or((series, ""));
            let its: Vec<&str> = its_labels.trim_end_matches('}').split(',').collect();
            its_name == name && labels.iter().all(|label| its.contains(label))
        };
        self.0
            .iter()
            .filter(|(series, _)| fits(series))
            .map(|(_, value)| value)
            .sum()
    }

    /// Asks a server for its page.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn fetch(http: &reqwest::Client, target: &Target) -> Result<Self, Failure> {
        let answer = http.get(target.http("/metrics")).timeout(PATIENCE).send();
        let unreachable = |err: reqwest::Error| broken("/metrics", err.without_url());
        let text = answer.await.map_err(unreachable)?.text().await;
        Ok(Self::parse(&text.map_err(unreachable)?))
    }
}

/// A JSON document of the admin side.
///
/// # Errors
/// No answer, or none with 200.
pub async fn admin(
    http: &reqwest::Client,
    target: &Target,
    path: &str,
    token: &Token,
) -> Result<serde_json::Value, Failure> {
    let request = http
        .get(target.http(path))
        .bearer_auth(token.expose())
        .timeout(PATIENCE);
    let answer = request
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|err| broken(path, err.without_url()))?;
    answer
        .json()
        .await
        .map_err(|err| broken(path, err.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_name_and_labels() {
        let page = Page::parse(
            "# TYPE a_total counter\na_total{code=\"idle\",worker=\"0\"} 2\n\
             a_total{code=\"idle\",worker=\"1\"} 3\na_total{code=\"x\",worker=\"0\"} 5\n\
             a_total_more 7\nb 1.5\nnonsense\n",
        );
        assert_eq!(page.sum("a_total{code=\"idle\"}"), 5.0);
        assert_eq!(page.sum("a_total{code=\"idle\",worker=\"1\"}"), 3.0);
        assert_eq!(page.sum("a_total"), 10.0);
        assert_eq!(page.sum("b"), 1.5);
        assert_eq!(page.sum("b{code=\"idle\"}"), 0.0);
    }
}
