/** The dashboard's script. */
document.title = "watt402";
