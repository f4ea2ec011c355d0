DROP FUNCTION tidemark_leases.after_restore();
