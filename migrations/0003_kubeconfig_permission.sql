-- Whether a user may download kubeconfigs, granted by an admin beyond the role. Admins may anyway, viewers
-- never.
ALTER TABLE user ADD COLUMN kubeconfig INTEGER NOT NULL DEFAULT 0 CHECK (kubeconfig IN (0, 1));
