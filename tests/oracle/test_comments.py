"""What a session reads from Oracle's dictionary for the comments of a published table."""

from __future__ import annotations

from statekeeper.model.column import RelationComments
from statekeeper.model.table import Relation
from tests.oracle.pipelines import opened


def test_the_comments_of_a_table_and_its_primary_key(sales):
    columns = [("REGION", "NUMBER(3)"), ("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(20)")]
    sales.create_table("SALES", "COMMENTED", columns, [], primary_key=["ID", "REGION"])
    comments = {None: "Orders of a region.", "ID": "counted by region"}
    sales.set_table("SALES", "COMMENTED", comments=comments)
    with opened(sales) as session:
        assert session.comments(Relation(schema_name="SALES", table_name="COMMENTED")) == RelationComments(
            table="Orders of a region.", columns={"ID": "counted by region"}, primary_key=("ID", "REGION")
        )
        assert session.comments(Relation(query="SELECT 1 AS ID FROM DUAL")) == RelationComments()
