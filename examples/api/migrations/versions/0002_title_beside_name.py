"""The title beside the name: both versions of the application run on it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
switchyard = "expand"
floor = None


def upgrade() -> None:
    """Whichever column a version writes, the other one follows: both colours see the same items."""
    op.add_column("items", sa.Column("title", sa.Text))
    op.execute(
        """
        CREATE FUNCTION items_name_and_title() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                NEW.title := coalesce(NEW.title, NEW.name);
                NEW.name := coalesce(NEW.name, NEW.title);
            ELSIF NEW.title IS DISTINCT FROM OLD.title THEN
                NEW.name := NEW.title;
            ELSE
                NEW.title := NEW.name;
            END IF;
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER items_name_and_title BEFORE INSERT OR UPDATE ON items "
        "FOR EACH ROW EXECUTE FUNCTION items_name_and_title()"
    )
    op.execute("UPDATE items SET title = name WHERE title IS NULL")
