"""What each command returns: frozen records that `cli/views/` shows, one module for each command.

Nothing is handed out from here: making a record's class takes half a millisecond, and a verb loads only its own.
"""
