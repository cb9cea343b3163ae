-- A host that a cluster gave up while its machine was lost: should it come back, old data lies on it. Both or
-- neither. `cluster` has no foreign key: the mark outlives it.
ALTER TABLE host ADD COLUMN unclean_since INTEGER;
ALTER TABLE host ADD COLUMN unclean_from INTEGER CHECK ((unclean_from IS NULL) = (unclean_since IS NULL));
