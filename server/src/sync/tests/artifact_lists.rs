//! Lists that are read page by page.

use super::*;
use crate::sync::artifacts::list::Listing;
use crate::sync::artifacts::{ArtifactHeader, PartWrite};

impl Api {
    /// The next page of a list, at most two artifacts: their ids.
    async fn page(&self, listing: &mut Listing) -> Vec<String> {
        let mut next = listing.clone();
        let read = self.test.database.read(async move |reader: &mut Reader| {
            let page = next.next_page(reader, ALICE, 2).await?;
            Ok::<(Vec<ArtifactHeader>, Listing), SyncError>((page, next))
        });
        let page;
        (page, *listing) = read.await.unwrap();
        page.into_iter().map(|artifact| artifact.id).collect()
    }

    async fn change_artifact(&self, id: &'static str) {
        let part = PartWrite {
            bytes: b"h2".to_vec(),
            expected: 1,
        };
        let changed = self.change(ALICE, async move |change| {
            artifacts::write(change, id, Some(part), None).await
        });
        changed.await.0.unwrap();
    }
}

on_both_databases! {
    async fn what_changes_while_a_list_is_read_is_in_the_next_one(test) {
        let api = Api::new(test);
        for id in ["a", "b", "c", "d", "e"] {
            api.artifact(ALICE, id).await;
        }
        api.artifact(BOB, "of bob").await;
        // They may have been made in one millisecond.
        let times = async |change: &mut Change<'_>| {
            let query = sqlx::query("UPDATE artifacts SET updated_at = change_seq");
            query.execute(change.connection()).await?;
            Ok::<_, SyncError>(())
        };
        api.change(ALICE, times).await.0.unwrap();
        let mut lists = [Listing::new(None), Listing::new(Some(0))];
        for list in &mut lists {
            assert_eq!(api.page(list).await, ["e", "d"]);
        }
        // Of those to come, one is changed and one is deleted.
        api.change_artifact("a").await;
        let delete = async |change: &mut Change<'_>| artifacts::delete(change, "b").await;
        api.change(ALICE, delete).await.0.unwrap();
        api.artifact(ALICE, "f").await;
        for list in &mut lists {
            assert_eq!(api.page(list).await, ["c"]);
            assert_eq!(list.last_change(), 5);
        }
        let next = api.page(&mut Listing::new(Some(5))).await;
        assert_eq!(next, ["f", "a"]);
        api.close().await;
    }
}
