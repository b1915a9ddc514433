document.title = "Service Keys";
