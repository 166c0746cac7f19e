"""What each verb returns: frozen records that `cli/views/` turns into what is shown, a room a verb.

Nothing is handed out from here: making a record's class takes half a millisecond, and a verb loads only its own.
"""
