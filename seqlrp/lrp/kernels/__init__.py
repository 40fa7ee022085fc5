"""Fast recurrences: the signatures of `seqlrp.lrp.recurrent`, in larger steps or compiled."""
