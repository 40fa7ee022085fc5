"""Fast recurrences with the signatures of `seqlrp.lrp.recurrent.reference`."""
